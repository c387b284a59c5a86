"""A valid topology resolves to a specification in which nothing is left open."""

import os
import re
import shutil
import subprocess
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec, parse_topology
from reconciler.errors import ImageNotFound, TopologyInvalid, TopologyNotFound
from reconciler.files.ownership import OwnedKind, OwnerMark, write_mark
from reconciler.host.disks.image_file import image_identity
from reconciler.model.names import mac_address, tap_name
from reconciler.model.placement import PlacementPolicy, PlacementStrategy
from reconciler.model.record import BootSpec, ClusterSpec, ExtraDiskSpec, ImageFile
from reconciler.model.topology import DiskBus, Forward, VirtType
from tests.waiting import PATIENCE_S

from .conftest import TOPOLOGY, Load
from .files import GIB, KEY_NAME, settings_in


def with_node_keys(lines: str, cluster_lines: str = "") -> str:
    node = "  - {name: a, vcpus: 1, memory_mb: 512, ip: 10.7.0.10}\n"
    block = "  - name: a\n    vcpus: 1\n    memory_mb: 512\n    ip: 10.7.0.10\n" + lines
    return cluster_lines + TOPOLOGY.replace(node, block)


def test_what_a_topology_leaves_out_is_filled_in(load: Load, host: Path) -> None:
    spec = load(TOPOLOGY)
    node = spec.nodes["a"]
    assert spec.overlay_dir == host / "overlays"
    assert spec.network.subnet == IPv4Network("10.7.0.0/24")
    assert spec.network.gateway == IPv4Address("10.7.0.1")
    assert spec.network.forward is Forward.NAT
    assert (spec.ssh.user, spec.ssh.key_path, spec.ssh.connect_timeout_s) == ("root", host / KEY_NAME, 30)
    assert (node.role, node.virt_type, node.cpu, node.boot) == ("node", VirtType.AUTO, None, None)
    assert (node.mac, node.tap) == (mac_address("lab", "a"), tap_name("lab", "a"))


def test_the_image_is_described_by_its_own_header(load: Load, host: Path) -> None:
    qcow2 = load(TOPOLOGY).nodes["a"].base_image
    raw = load(TOPOLOGY.replace("base.qcow2", "raw.img")).nodes["a"].base_image
    assert qcow2 == _image(host / "base.qcow2", "qcow2", 2 * GIB)
    assert raw == _image(host / "raw.img", "raw", GIB // 1024)


def test_relative_paths_start_at_the_topology_file_and_tilde_at_home(
    load: Load, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(host))
    monkeypatch.chdir("/")
    for written in ("base.qcow2", "./base.qcow2", "../" + host.name + "/base.qcow2", "~/base.qcow2"):
        assert load(TOPOLOGY.replace("base.qcow2", f'"{written}"')).nodes["a"].base_image.path == host / "base.qcow2"


def boot(kernel: Path, **more: str) -> BootSpec:
    return BootSpec(kernel=kernel, identity=image_identity(kernel), **more)


def test_a_node_overrides_what_the_cluster_says(load: Load, host: Path) -> None:
    cluster = "cpu: maximum\nvirt_type: kvm\nboot: {kernel: base.vmlinuz}\nuser_data: {a: [1], b: {c: 1}, d: 1}\n"
    node = """\
    cpu: Haswell-noTSX
    virt_type: qemu
    base_image: raw.img
    boot: {kernel: own.vmlinuz, cmdline: quiet}
    user_data: {a: [2], b: {e: 2}, d: 2}
"""
    shutil.copy(host / "base.vmlinuz", host / "own.vmlinuz")
    inherited = load(cluster + TOPOLOGY).nodes["a"]
    own = load(with_node_keys(node, cluster)).nodes["a"]
    assert (inherited.cpu, inherited.virt_type, inherited.user_data["d"]) == ("maximum", VirtType.KVM, 1)
    assert inherited.boot == boot(host / "base.vmlinuz")
    assert (own.cpu, own.virt_type) == ("Haswell-noTSX", VirtType.QEMU)
    assert own.base_image.path == host / "raw.img"
    assert own.boot == boot(host / "own.vmlinuz", cmdline="quiet")
    assert own.user_data == {"a": [1, 2], "b": {"c": 1, "e": 2}, "d": 2}


def test_a_specification_survives_the_store(load: Load) -> None:
    disks = "    boot: {kernel: base.vmlinuz}\n    extra_disks: [{path: foreign.qcow2, existing: true}]\n"
    spec = load(with_node_keys(disks, "user_data: {a: [1, null, {b: 0.5}]}\n"))
    assert ClusterSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("written", "placement"),
    [
        ("pack", PlacementPolicy(strategy=PlacementStrategy.PACK)),
        ("{zone: a}", PlacementPolicy(labels={"zone": "a"})),
        ("{labels: {zone: a}, strategy: pack}", PlacementPolicy(strategy=PlacementStrategy.PACK, labels={"zone": "a"})),
    ],
)
def test_a_host_is_asked_for_only_where_the_store_has_several(
    host: Path, written: str, placement: PlacementPolicy
) -> None:
    path = host / "lab.yaml"
    path.write_text(with_node_keys("    host: lab-2\n", f"placement: {written}\n"))
    with pytest.raises(
        TopologyInvalid, match=r"(?s)placement: there is only this host.*nodes\[0\].host: there is only"
    ):
        load_spec(path, settings_in(host))
    shared = settings_in(host).model_copy(update={"store": "etcd://127.0.0.1"})
    _, spec = load_spec(path, shared)
    assert (spec.placement, spec.nodes["a"].host) == (placement, "lab-2")
    assert ClusterSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_node_leaves_the_clusters_direct_boot_by_null(load: Load) -> None:
    assert load(with_node_keys("    boot: null\n", "boot: {kernel: base.vmlinuz}\n")).nodes["a"].boot is None


def test_extra_disks_take_their_targets_in_order(load: Load, host: Path) -> None:
    disks = """\
    extra_disks:
      - {path: made.qcow2, size_gb: 5, bus: scsi}
      - {path: foreign.qcow2, existing: true}
      - {path: raw.img, existing: true, bus: sata}
"""
    found = load(with_node_keys(disks)).nodes["a"].extra_disks
    assert found == {
        "vdb": ExtraDiskSpec(path=host / "made.qcow2", size_bytes=5 * GIB, bus=DiskBus.SCSI, existing=False),
        "vdc": ExtraDiskSpec(path=host / "foreign.qcow2", size_bytes=3 * GIB, bus=DiskBus.VIRTIO, existing=True),
        "vdd": ExtraDiskSpec(
            path=host / "raw.img", size_bytes=GIB // 1024, bus=DiskBus.SATA, existing=True, format="raw"
        ),
    }
    assert not (host / "made.qcow2").exists()


@pytest.mark.parametrize(
    ("cluster", "node", "existing", "refusal"),
    [
        ("lab", "a", "false", None),
        ("lab", "b", "false", "belongs to node b of this cluster"),
        ("other", "a", "false", "belongs to cluster other"),
        ("lab", "a", "true", "was created for cluster lab, so it is not yours"),
    ],
)
def test_a_disk_that_we_made_is_taken_up_again_by_its_own_node_only(
    load: Load, host: Path, cluster: str, node: str, existing: str, refusal: str | None
) -> None:
    write_mark(host / "foreign.qcow2", OwnerMark(cluster=cluster, node=node, kind=OwnedKind.LAYER))
    text = with_node_keys(f"    extra_disks: [{{path: foreign.qcow2, size_gb: 3, existing: {existing}}}]\n")
    if refusal is None:
        assert load(text).nodes["a"].extra_disks["vdb"].path == host / "foreign.qcow2"
        return
    with pytest.raises(TopologyInvalid, match=refusal):
        load(text)


@pytest.mark.parametrize(("name", "accepted"), [("foreign.qcow2", True), ("other.qcow2", False)])
def test_a_copy_of_a_disk_is_not_our_disk_except_where_a_backup_may_have_put_it_back(
    load: Load, host: Path, name: str, accepted: bool
) -> None:
    original = (host / "foreign.qcow2").rename(host / name)
    write_mark(original, OwnerMark(cluster="lab", node="a", kind=OwnedKind.LAYER))
    subprocess.run(["cp", "-a", original, host / "foreign.copy"], check=True)
    original.unlink()
    (host / "foreign.copy").rename(host / "foreign.qcow2")
    text = with_node_keys("    extra_disks: [{path: foreign.qcow2, size_gb: 3}]\n")
    if accepted:
        assert load(text).nodes["a"].extra_disks["vdb"].path == host / "foreign.qcow2"
        return
    with pytest.raises(TopologyInvalid, match="was not created by vmcluster"):
        load(text)


@pytest.mark.parametrize(
    ("facts", "disk", "refusal"),
    [
        ({"format": "raw"}, "shared: true", None),
        ({"format": "raw"}, "", "was created for several nodes to write to"),
        ({}, "shared: true", "was created for one node to write to"),
        ({"format": "raw"}, "shared: true, existing: true", "was created for cluster lab, so it is not yours"),
    ],
)
def test_a_shared_disk_that_we_made_is_every_nodes_and_stays_shared(
    load: Load, host: Path, facts: dict[str, str], disk: str, refusal: str | None
) -> None:
    mark = OwnerMark(cluster="lab", node="b", kind=OwnedKind.LAYER, facts=facts)
    write_mark(host / "raw.img", mark)
    text = with_node_keys(f"    extra_disks: [{{path: raw.img, size_gb: 1, {disk}}}]\n")
    if refusal is None:
        found = load(text).nodes["a"].extra_disks["vdb"]
        assert (found.format, found.shared, found.existing, found.size_bytes) == ("raw", True, False, GIB)
        return
    with pytest.raises(TopologyInvalid, match=refusal):
        load(text)


def test_the_public_key_is_read_beside_the_private_one_or_derived(load: Load, host: Path) -> None:
    public = host / f"{KEY_NAME}.pub"
    read = load(TOPOLOGY).ssh.public_key
    assert read == public.read_text().strip()
    public.unlink()
    assert load(TOPOLOGY).ssh.public_key.split()[:2] == read.split()[:2]


def test_a_public_key_file_with_something_else_in_it_is_refused(load: Load, host: Path) -> None:
    for content in ("ssh-ed25519 AAAA\n", "hello\n", "", (host / f"{KEY_NAME}.pub").read_text() * 2):
        (host / f"{KEY_NAME}.pub").write_text(content)
        with pytest.raises(TopologyInvalid, match="is not one public SSH key"):
            load(TOPOLOGY)


def test_missing_images_alone_are_image_not_found_and_with_other_problems_the_topology_is_invalid(load: Load) -> None:
    missing = TOPOLOGY.replace("base.qcow2", "absent.qcow2")
    with pytest.raises(ImageNotFound, match=r"lab\.yaml:2:13: base_image: .*absent\.qcow2"):
        load(missing)
    with pytest.raises(TopologyInvalid, match=r"(?s)2 problems.*absent\.qcow2.*10\.8\.0\.10"):
        load(missing.replace("10.7.0.10", "10.8.0.10"))


def test_an_alias_is_what_it_names_and_a_merge_key_fills_in(load: Load) -> None:
    text = TOPOLOGY.replace("- {name: a", "- &first {name: a") + "  - {<<: *first, name: b, ip: 10.7.0.11}\n"
    nodes = load(text).nodes
    assert nodes["b"].memory_mb == nodes["a"].memory_mb
    assert str(nodes["b"].ip) == "10.7.0.11"


def test_a_named_pipe_a_directory_and_a_closed_file_are_not_topologies(host: Path) -> None:
    os.mkfifo(host / "pipe.yaml")
    (host / "folder.yaml").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(TopologyNotFound, match="cannot be read"):
            load_spec(name, settings_in(host))


def test_a_thousand_nodes_load_within_seconds(host: Path) -> None:
    nodes = "".join(
        f"  - {{name: n{i}, vcpus: 1, memory_mb: 64, ip: 10.7.{i // 250}.{i % 250 + 2}}}\n" for i in range(1000)
    )
    path = host / "big.yaml"
    path.write_text(TOPOLOGY.replace("10.7.0.0/24", "10.7.0.0/16").replace("10.7.0.10", "10.7.9.9") + nodes)
    started = time.process_time()
    assert len(load_spec(path, settings_in(host))[1].nodes) == 1001
    assert time.process_time() - started < 10


SPECS = Path(__file__).parents[3] / "specs" / "topologies"


def test_the_topologies_that_we_ship_are_valid_and_can_run_beside_each_other() -> None:
    loaded = [parse_topology(path.read_bytes(), path.parent) for path in sorted(SPECS.glob("*.yaml"))]
    assert [of.problems() for of in loaded] == [()] * len(loaded)
    topologies = [of.topology for of in loaded if of.topology is not None]
    assert {topology.cluster_name for topology in topologies} == {path.stem for path in SPECS.glob("*.yaml")}
    assert {topology.cluster_name for topology in topologies} >= {
        "minimal", "example-3node", "mixed-sizes", "direct-kernel",
    }  # fmt: skip
    for left in topologies:
        for right in topologies:
            if left is not right:
                assert left.network.name != right.network.name
                assert left.network.bridge != right.network.bridge
                assert not left.network.subnet.overlaps(right.network.subnet)


def test_the_header_that_these_tests_write_is_what_qemu_writes(host: Path) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(host / "real.qcow2"), "2G"]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    (host / "base.qcow2").unlink()
    (host / "real.qcow2").rename(host / "base.qcow2")
    (host / "lab.yaml").write_text(TOPOLOGY)
    spec = load_spec(host / "lab.yaml", settings_in(host))[1]
    assert spec.nodes["a"].base_image.size_bytes == 2 * GIB


def _image(path: Path, image_format: str, size_bytes: int) -> ImageFile:
    return ImageFile(path=path, format=image_format, size_bytes=size_bytes, identity=image_identity(path))


def test_a_root_disk_has_a_size_of_its_own_where_it_is_not_that_of_the_image(load: Load) -> None:
    sizes = {
        ("disk_gb: 20\n", ""): 20,
        ("disk_gb: 20\n", "    disk_gb: 30\n"): 30,
        ("", "    disk_gb: 2\n"): None,  # as much as the image
        ("disk_gb: 1\n", "    disk_gb: 3\n"): 3,
        ("", ""): None,
    }
    for (cluster, node), size in sizes.items():
        found = load(with_node_keys(node, cluster)).nodes["a"]
        assert (found.disk_gb, found.root_disk_bytes) == (size, (size or 2) * GIB)


SECRETS = {
    "shadow": "root:$6$SECRET$x:19000:0:99999:7:::\nSECRET:*:1::\n",
    "text": "SECRET\n",
    "mapping": "SECRET: SECRET\n? [SECRET]\n: 1\n",
    "keys": "password_SECRET: 0777\ncluster_names: 2\nSECRET: {SECRET: 010}\nSECRET: 2\n",
    "list": "- SECRET: 09\n- *SECRET\n",
    "anchors": "a: &SECRET 1\nb: *SECRET2\n",
    "tags": "a: !SECRET 5\nb: !!SECRET x\n",
    "tabs": "a:\n\t- SECRET\n",
    "key": "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRETSECRET\n-----END OPENSSH PRIVATE KEY-----\n",
    "quotes": "SECRET: 'SECRET\n",
    "nested": "nodes:\n  - {cluster_name: SECRET, ip: SECRET, SECRET: 1}\nnetwork: {subnet: SECRET}\n",
    "bytes": "SECRET: \x07\n",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_is_quoted_of_a_file_that_is_no_topology(host: Path, kind: str) -> None:
    (host / "other").write_text(SECRETS[kind])
    with pytest.raises(TopologyInvalid) as refusal:
        load_spec(f"{host}/other", settings_in(host))
    message = str(refusal.value)
    assert "SECRET" not in message
    assert re.search(r"other:\d+:\d+: ", message), message


def test_a_topology_that_cannot_be_read_to_its_end_is_quoted(host: Path) -> None:
    (host / "lab.yaml").write_text("cluster_name: lab\nbase_image: *WRONG\n")
    with pytest.raises(TopologyInvalid, match="WRONG"):
        load_spec(f"{host}/lab.yaml", settings_in(host))


def test_an_image_is_known_by_its_name_in_the_directory_for_images(host: Path) -> None:
    settings = settings_in(host).model_copy(update={"image_dir": host / "named"})
    (host / "named").mkdir()
    (host / "named" / "debian-12.qcow2").write_bytes((host / "base.qcow2").read_bytes())
    (host / "lab.yaml").write_text(TOPOLOGY.replace("base.qcow2", "debian-12"))
    image = load_spec(host / "lab.yaml", settings)[1].nodes["a"].base_image
    assert image.path == host / "named" / "debian-12.qcow2"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("debian-12", 'the image debian-12 is not on this host (get it: `image_pull(image="debian-12")`)'),
        ("debain-12", "no image is named 'debain-12': {path} does not exist (did you mean debian-12?)"),
        ("mine-2", "no image is named 'mine-2': {path} does not exist (did you mean mine-1?)"),
        ("disk", "no image is named 'disk': {path} does not exist (for a file beside the topology, write ./disk)"),
        (
            "base",
            "cannot read the disk image {path}: No such file or directory (correct the path",
        ),
    ],
)
def test_a_name_without_an_image_is_refused_on_its_line_with_what_helps(host: Path, name: str, what: str) -> None:
    settings = settings_in(host).model_copy(update={"image_dir": host / "named"})
    (host / "named").mkdir()
    (host / "named" / "mine-1.qcow2").touch()
    (host / "lab.yaml").write_text(TOPOLOGY.replace("base.qcow2", name))
    expected = f"lab.yaml:2:13: base_image: {what.format(path=host / 'named' / f'{name}.qcow2')}"
    with pytest.raises(ImageNotFound, match=re.escape(expected)):
        load_spec(host / "lab.yaml", settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services:\n  web: {image: nginx}\nnodes: [a]\n", "1:1: this is not a topology"),
        ("root: x\nport: 012\n", "2:7: this is not a topology"),
        ("a: 1\nb: 'x\n", "this is not a topology"),
    ],
)
def test_a_file_of_something_else_is_one_problem_that_quotes_nothing(text: str, said: str) -> None:
    (problem,) = parse_topology(text.encode(), Path("/")).problems()
    assert said in problem.at("FILE")
    assert not re.search("nginx|web|root|port|012", problem.message)
