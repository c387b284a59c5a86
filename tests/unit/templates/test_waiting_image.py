"""The host and the image agree on how a machine is told to wait, how it says that it does, and what it becomes."""

import json
import pickle
import sys
from collections.abc import Iterator
from importlib import import_module
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.host.cloud_init.etc_hosts import render_hosts
from reconciler.host.cloud_init.iso import WAITING_LABEL, parse_iso, render_iso
from reconciler.host.cloud_init.seed_codec import SeedInputs, render_seed
from reconciler.host.cloud_init.seed_driver import new_host_key, public_line_of
from reconciler.host.cloud_init.waiting_seed import VALUES_FILE, render_waiting_seed
from reconciler.image.overlay import ROOT, overlay_files
from reconciler.model.document import SeedShape
from reconciler.templates.cloning import CANNOT_WAIT, READY

STAGE = "usr/lib/cloud-init/"
SHAPE = SeedShape(
    ssh_user="root", ssh_public_key="ssh-ed25519 AAAA me", prefix_length=24, routed=True, grows=True, mtu=1400
)
SHAPES = [SHAPE, SHAPE.model_copy(update={"routed": False, "grows": False, "mtu": None, "ssh_user": "alice"})]


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module as a guest has it."""
    monkeypatch.syspath_prepend(str(ROOT / "programs" / STAGE))
    yield import_module
    for name in ("blanks", "bus", "machine", "made_files"):
        sys.modules.pop(name, None)


def node_seed(shape: SeedShape, **changes: Any) -> dict[str, str]:
    private = new_host_key("lab", "n17")
    ip = IPv4Address("10.1.2.30")
    asked: dict[str, Any] = {
        "cluster_name": "lab",
        "node": "n17",
        "instance_id": "f54cacfb-1701-57f2-98e8-7562a69fc26c-r3",
        "mac": "52:1c:ee:9c:dd:79",
        "ip": ip,
        "prefix_length": shape.prefix_length,
        "gateway": IPv4Address("10.1.2.1") if shape.routed else None,
        "hosts": render_hosts({"n17": ip, "n2": IPv4Address("10.1.2.31")}, "lab"),
        "ssh_user": shape.ssh_user,
        "ssh_public_key": shape.ssh_public_key,
        "grows": shape.grows,
        "mtu": shape.mtu,
    }
    inputs = SeedInputs(**{**asked, **changes})
    return render_seed(inputs, private, public_line_of(private, Path("key"))).by_name()


def test_the_image_knows_the_label_and_says_what_is_waited_for() -> None:
    content = {file.path: file.content for file in overlay_files()}
    for program in ("first-stage", "machine.py"):
        assert f'b"{WAITING_LABEL}"'.encode() in content[STAGE + program]
    assert READY in content[STAGE + "machine.py"]
    assert CANNOT_WAIT.removeprefix(b"vmcluster: ") in content[STAGE + "machine.py"]
    assert f'"{VALUES_FILE}"'.encode() in content[STAGE + "take_identity.py"]


def test_the_label_is_where_the_image_reads_it() -> None:
    assert render_waiting_seed(None)[0x8028 : 0x8028 + 32].strip() == WAITING_LABEL.encode()


@pytest.mark.parametrize("files", [{}, {"meta-data": "a\n", "user-data": "#\n" * 4000, "hosts": "ä" * 3000}])
def test_the_image_reads_seeds_and_their_sizes_by_itself(
    guest: Any, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    machine, seed = guest("machine"), render_iso(files, WAITING_LABEL)
    monkeypatch.setattr(machine, "_on_disk", lambda _disk, size: seed[:size])
    monkeypatch.setattr(machine, "read", lambda _path: str(len(seed) // 512))
    assert machine.files_in("/dev/vdb") == files
    label, size = machine._volume("/dev/vdb")
    assert label == WAITING_LABEL.encode()
    assert len(seed) - (1 << 20) < size <= len(seed)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_nodes_values_are_read_from_its_seed_and_make_all_of_it(guest: Any, shape: SeedShape) -> None:
    blanks = guest("blanks")
    provisional = parse_iso(render_waiting_seed(shape))
    values = json.loads(provisional.pop(VALUES_FILE))
    forms = {name: blanks.form_of(text, values) for name, text in provisional.items()}
    seed = node_seed(shape)
    own = {key: of for name in forms for key, of in blanks.finder_of(forms[name])(seed[name]).items()}
    assert own.keys() == values.keys()
    assert {name: blanks.filled(form, own) for name, form in forms.items()} == seed


@pytest.mark.parametrize("shape", SHAPES)
def test_what_cloud_init_writes_of_a_seed_can_be_made_with_other_values(guest: Any, shape: SeedShape) -> None:
    blanks = guest("blanks")
    provisional = parse_iso(render_waiting_seed(shape))
    values = json.loads(provisional.pop(VALUES_FILE))
    seed = node_seed(shape)
    own: dict[str, str] = {}
    for name, text in provisional.items():
        own |= blanks.finder_of(blanks.form_of(text, values))(seed[name])

    def written(user_data: str) -> list[str]:
        config = yaml.safe_load(user_data)
        return [
            yaml.safe_dump(config, indent=4, default_flow_style=False),
            json.dumps(config, indent=1),
            config["ssh_keys"]["ed25519_private"],
        ]

    for theirs, ours in zip(written(provisional["user-data"]), written(seed["user-data"]), strict=True):
        assert blanks.filled(blanks.form_of(theirs, values), own) == ours
    kept = {"text": provisional["user-data"], "bytes": provisional["user-data"].encode(), "other": [1, None]}
    blank = blanks.pickled_form(pickle.dumps(kept), values)
    assert pickle.loads(blanks.filled_pickle(blank, own)) == {
        "text": seed["user-data"],
        "bytes": seed["user-data"].encode(),
        "other": [1, None],
    }


@pytest.mark.parametrize("changes", [{"ssh_public_key": "ssh-ed25519 BBBB other"}, {"user_data": {"runcmd": ["ls"]}}])
def test_a_seed_of_another_shape_is_refused(guest: Any, changes: dict[str, Any]) -> None:
    blanks = guest("blanks")
    provisional = parse_iso(render_waiting_seed(SHAPE))
    values = json.loads(provisional[VALUES_FILE])
    read = blanks.finder_of(blanks.form_of(provisional["user-data"], values))
    with pytest.raises(ValueError, match="in more than a node's own values"):
        read(node_seed(SHAPE, **changes)["user-data"])


def test_what_was_made_of_one_identity_is_taken_off_the_disk_and_made_of_another(
    guest: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made_files, cloud = guest("made_files"), tmp_path / "var/lib/cloud"
    for name, place in (("_PLACES", (str(tmp_path),)), ("_CLOUD", f"{cloud}/"), ("_WITHOUT", ())):
        monkeypatch.setattr(made_files, name, place)
    monkeypatch.setattr(made_files, "_INSTANCE_ID", f"{cloud}/data/instance-id")
    values, own = {"node": "provisional", "instance_id": "0-r0"}, {"node": "n1", "instance_id": "7-r3"}
    files: dict[str, str | bytes] = {
        "etc/hostname": "provisional\n",
        "etc/fstab": "of all machines\n",
        "var/lib/cloud/data/instance-id": "0-r0\n",
        "var/lib/cloud/data/previous-hostname": "provisional\n",
        "var/lib/cloud/instances/0-r0/obj.pkl": pickle.dumps({"name": "provisional"}),
        "var/lib/cloud/instances/0-r0/sem/config_ssh": "",
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "etc/hostname").chmod(0o640)
    (cloud / "instance").symlink_to(cloud / "instances/0-r0")

    made = list(made_files.made_since(0, values))
    assert made[-1].there == f"{cloud}/data/instance-id"
    for file in reversed(made):
        file.remove()
    assert [*cloud.iterdir()] == []
    assert [of.name for of in (tmp_path / "etc").iterdir()] == ["fstab"]

    for file in made:
        file.write(own)
    assert (tmp_path / "etc/hostname").read_text() == "n1\n"
    assert (tmp_path / "etc/hostname").stat().st_mode & 0o777 == 0o640
    assert (cloud / "instance").readlink() == cloud / "instances/7-r3"
    assert pickle.loads((cloud / "instance/obj.pkl").read_bytes()) == {"name": "n1"}
    assert (cloud / "instance/sem/config_ssh").exists()
    assert (cloud / "data/instance-id").read_text() == "7-r3\n"


def test_units_are_handled_by_calls_of_d_bus(guest: Any) -> None:
    """As the specification writes it; systemd 252 takes it."""
    fields = (
        b"\1\1o\0\x19\0\0\0/org/freedesktop/systemd1\0\0\0\0\0\0\0"
        b"\2\1s\0\x20\0\0\0org.freedesktop.systemd1.Manager\0\0\0\0\0\0\0\0"
        b"\3\1s\0\x09\0\0\0StartUnit\0\0\0\0\0\0\0"
        b"\6\1s\0\x18\0\0\0org.freedesktop.systemd1\0\0\0\0\0\0\0\0"
        b"\x08\1g\0\x02ss\0"
    )
    body = b"\x09\0\0\0a.service\0\0\0\x07\0\0\0replace\0"
    head = b"l\1\1\1" + bytes([len(body), 0, 0, 0, 2, 0, 0, 0, len(fields), 0, 0, 0])
    assert guest("bus").method_call(2, "StartUnit", "a.service", "replace") == head + fields + body
