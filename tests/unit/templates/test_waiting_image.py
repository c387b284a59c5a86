"""The host and the image agree on how a machine is told to wait, how it says that it does, and what it becomes."""

import json
import pickle
import stat
import subprocess
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
    for name in ("blanks", "held_back", "machine", "made_files"):
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


def test_a_program_is_held_back_where_it_opens_a_file_and_reads_what_the_file_contains_when_it_is_let_go(
    guest: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held_back, file, processes = guest("held_back"), tmp_path / "read", tmp_path / "cgroup.procs"
    for name, value in (("_PIPES", str(tmp_path)), ("_PROCESSES", str(processes))):
        monkeypatch.setattr(held_back, name, value)
    for name in ("mount", "unmount"):  # which take root's power; the program opens the pipe by its own path here
        monkeypatch.setattr(held_back, name, lambda *_paths: None)
    file.write_text("of the template")
    file.chmod(0o640)
    assert not held_back._opens_a_pipe("unit"), "a unit without processes"
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        processes.write_text(f"{other.pid}\n")
        assert not held_back._opens_a_pipe("unit")
        program: list[subprocess.Popen[str]] = []

        def start() -> None:
            pipe = tmp_path / "unit"
            assert stat.S_IMODE(pipe.stat().st_mode) == 0o640
            program.append(subprocess.Popen(["/bin/cat", pipe], stdout=subprocess.PIPE, text=True))
            processes.write_text(f"{other.pid}\n{program[0].pid}\n")

        held = held_back.hold_back("unit", str(file), start)
        other.kill()
    assert program[0].poll() is None
    file.write_text("of the clone")
    held.let_go()
    assert program[0].communicate()[0] == "of the clone"
    assert not (tmp_path / "unit").exists()


def test_a_machine_whose_program_does_not_read_the_file_does_not_wait_for_ever(
    guest: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held_back = guest("held_back")
    for name, value in (("_PIPES", str(tmp_path)), ("_PROCESSES", str(tmp_path / "none")), ("_PATIENCE_S", 0)):
        monkeypatch.setattr(held_back, name, value)
    monkeypatch.setattr(held_back, "mount", lambda *_paths: None)
    with pytest.raises(TimeoutError, match="unit does not read"):
        held_back.hold_back("unit", str(tmp_path), lambda: None)
