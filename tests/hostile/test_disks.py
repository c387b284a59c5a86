"""A cluster's files in hostile hands: headers, marks, manifests and names changed at random, where nothing runs.

Whatever stands there is looked at, planned for, verified and deleted; that costs clear errors, no machine would start
on it, and nothing outside of the cluster's own directory changes.
"""

import asyncio
import errno
import hashlib
import json
import os
import random
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from reconciler.desired.compile import compile_document, seed_inputs
from reconciler.desired.load import load_spec
from reconciler.desired.recorded_file_uses import uses_of
from reconciler.error_codes import ErrorCode
from reconciler.errors import error_to_answer
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.ownership import ATTRIBUTE
from reconciler.host.cloud_init.seed_driver import delete_seed, write_seed
from reconciler.host.disks.before_use import MachineFiles, require_usable
from reconciler.host.disks.chain_check import broken_chains
from reconciler.host.disks.layers import LayerDriver, delete_layer, freeze_layer
from reconciler.host.disks.manifests import (
    finish_snapshot,
    read_manifests,
    remove_snapshot,
    snapshot_dir,
    snapshot_nvram_path,
)
from reconciler.host.nvram import keep_nvram, put_nvram
from reconciler.model.document import ClusterDocument, Domain, Layer, Power, PowerState, Seed, Snapshot, Unknown
from reconciler.model.names import layer_path
from reconciler.model.plan import DeleteLayer, Start
from reconciler.model.record import ClusterRecord, ClusterSpec, Deletion
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower
from reconciler.observe.cluster import _observe_files
from reconciler.observe.verification import verify_snapshots
from reconciler.plan.planner import plan
from reconciler.records import record_changes
from tests.hostile import ROUNDS, SEED
from tests.hostile.tally import Tally
from tests.simulation.worlds import EMULATED
from tests.unit.desired.files import GIB, qcow2_header, settings_in, write_host_files

CLUSTER, NAME = "lab", "before"
NOTE = "user.vmcluster.format"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NODES = ("a", "b")
TOPOLOGY = """\
cluster_name: lab
base_image: outside/base.qcow2
overlay_dir: overlays
network: {name: labnet, bridge: virbr-lab, subnet: 10.7.0.0/24}
ssh: {key_path: id_ed25519}
nodes:
  - name: a
    vcpus: 1
    memory_mb: 512
    ip: 10.7.0.10
    extra_disks: [{path: mine.raw, existing: true}, {path: made.qcow2, size_gb: 1}]
  - {name: b, vcpus: 1, memory_mb: 512, ip: 10.7.0.11, extra_disks: [{path: mine2.raw, existing: true}]}
"""

ODD_NAMES = [
    *(
        "",
        "\0",
        "/",
        ".",
        "..",
        "../../outside/secret",
        "/etc/shadow",
        "/dev/zero",
        "/proc/self/mem",
        "a" * 1023,
        "\udc80",
    ),
    *(
        'json:{"driver":"file","filename":"/etc/shadow"}',
        "nbd://127.0.0.1/x",
        "fd:0",
        "\x1b[2J",
        "ssh://root@localhost/",
    ),
]
ODD_NUMBERS = [0, 1, 2, 3, 4, 7, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 53, 1 << 62, (1 << 64) - 1]
ODD_JSON = [
    *("null", "[]", "{}", '"x"', "1e999", "-1", "NaN", "[" * 5000, '{"a":' * 5000, '{"x": 1}', "true", "9" * 5000),
]


class Sandbox:
    """A cluster as a snapshot has left it, beside what belongs to others."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.outside, self.overlays = directory, directory / "outside", directory / "overlays"
        self.inside = self.overlays / CLUSTER
        self._kept: dict[Path, tuple[bytes, dict[str, bytes], int]] = {}

    def write_files_of_others(self) -> None:
        self.outside.mkdir()
        write_host_files(self.directory)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.outside / "base.qcow2", "64M"], check=True)
        (self.outside / "secret").write_bytes(b"secret".ljust(4096, b"\0"))
        (self.outside / "other.qcow2").write_bytes(qcow2_header(GIB))
        for name in ("mine.raw", "mine2.raw"):
            (self.directory / name).write_bytes(bytes(1 << 20))
        (self.directory / "lab.yaml").write_text(TOPOLOGY)

    async def make(self) -> None:
        record = record_changes.with_spec(None, CLUSTER, self.load())
        await self._make_layers(record, ClusterDocument())
        for node, inputs in seed_inputs(record).items():
            seed = compile_document(record, EMULATED, ClusterDocument(), now=NOW).seeds[node]
            assert isinstance(seed, Seed)
            await asyncio.to_thread(write_seed, self.overlays, inputs, seed.digest)
        self.record = record_changes.started(
            record_changes.with_snapshot(record, NAME, include_memory=False, quiesce=False)
        )
        await self._take_snapshot()
        self.domains = self.compiled(self.observed()).domains
        self.remember()

    def load(self) -> ClusterSpec:
        record = getattr(self, "record", None)
        uses = tuple(uses_of(record)) if record is not None else ()
        return load_spec(self.directory / "lab.yaml", settings_in(self.directory), uses=uses)[1]

    async def _make_layers(self, record: ClusterRecord, observed: ClusterDocument) -> None:
        for path, layer in compile_document(record, EMULATED, observed, now=NOW).layers.items():
            assert isinstance(layer, Layer)
            await LayerDriver().create_layer(Path(path), layer, cluster=CLUSTER)

    async def _take_snapshot(self) -> None:
        ensure_our_directory(snapshot_dir(self.overlays, CLUSTER, NAME), CLUSTER, None)
        nodes = {}
        for node in NODES:
            variables = self.inside / f"{node}.r0.nvram"
            variables.write_bytes(b"variables")
            keep_nvram(variables, snapshot_nvram_path(self.overlays, CLUSTER, NAME, node), CLUSTER, node)
            variables.unlink()
            freeze_layer(layer_path(self.overlays, CLUSTER, node, "vda", 0), CLUSTER)
            frozen = FrozenDisk(path=layer_path(self.overlays, CLUSTER, node, "vda", 0), format="qcow2")
            nodes[node] = SnapshotNode(power=SnapshotPower.OFF, disks={"vda": frozen})
        manifest = Manifest(
            snapshot_name=NAME,
            cluster_name=CLUSTER,
            request=1,
            created_at=NOW,
            include_memory=False,
            pause_s=0,
            nodes=nodes,
        )
        finish_snapshot(self.overlays, manifest)
        await self._make_layers(self.record, self.observed())

    def observed(self) -> ClusterDocument:
        files = _observe_files(self.record)
        domains = getattr(self, "domains", {})
        power = dict.fromkeys(domains, Power(state=PowerState.OFF))
        return ClusterDocument(
            layers=files.layers, seeds=files.seeds, snapshots=files.snapshots, domains=domains, power=power
        )

    def compiled(self, observed: ClusterDocument) -> ClusterDocument:
        return compile_document(self.record, EMULATED, observed, frozenset({1}), now=NOW)

    def files_of(self, node: str) -> MachineFiles:
        domain = self.domains[node]
        assert isinstance(domain, Domain)
        given = {disk.path for disk in self.record.spec.nodes[node].extra_disks.values() if disk.existing}
        return MachineFiles(CLUSTER, node, domain.disks, given, [domain.console])

    # What stands there, and how it comes back.

    def remember(self) -> None:
        for path in self.targets():
            marks = {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}
            self._kept[path] = (path.read_bytes(), marks, stat.S_IMODE(path.stat().st_mode))

    def targets(self) -> list[Path]:
        """Every file that somebody could get hold of."""
        files = [path for path in sorted(self.inside.rglob("*")) if path.is_file() and not path.is_symlink()]
        return [*files, *(self.directory / name for name in ("mine.raw", "mine2.raw", "made.qcow2"))]

    def restore(self) -> None:
        for path in sorted(self.inside.rglob("*"), reverse=True):
            if path not in self._kept and path not in {kept.parent for kept in self._kept}:
                take_away(path)
        for path, (content, marks, mode) in self._kept.items():
            if is_as_it_was(path, content, marks):
                continue
            take_away(path)
            for parent in reversed(path.parents):
                if parent.is_symlink() or (parent.is_relative_to(self.inside) and not parent.is_dir()):
                    take_away(parent)
                    parent.mkdir()
            path.write_bytes(content)
            for name, mark in marks.items():
                os.setxattr(path, name, bound(mark, path) if name == ATTRIBUTE else mark)
            path.chmod(mode)


def bound(mark: bytes, path: Path) -> bytes:
    """The same mark, on the file that has the name now."""
    data = json.loads(mark)
    if data.get("file"):
        data["file"] |= {"inode": path.lstat().st_ino, "born_ns": 0}
    return json.dumps(data).encode()


def is_as_it_was(path: Path, content: bytes, marks: dict[str, bytes]) -> bool:
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_nlink > 1 or path.read_bytes() != content:
            return False
        there = {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}
    except OSError:
        return False
    return {name: json_of(mark) for name, mark in there.items()} == {
        name: json_of(mark) for name, mark in marks.items()
    }


def json_of(mark: bytes) -> object:
    try:
        data = json.loads(mark)
    except (ValueError, RecursionError):
        return mark
    if isinstance(data, dict) and isinstance(data.get("file"), dict):
        data["file"] = None
    return data


def take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def tree(directory: Path, *, links: bool = True) -> dict[str, object]:
    """Everything in a directory: what it is, whose, and what is in it."""
    return {str(path): look(path, links=links) for path in [directory, *sorted(directory.rglob("*"))]}


def look(path: Path, *, links: bool) -> object:
    status = path.lstat()
    content = hashlib.sha256(path.read_bytes()).digest() if stat.S_ISREG(status.st_mode) else None
    names = () if path.is_symlink() else os.listxattr(path)
    marks = {name: os.getxattr(path, name) for name in names if name != NOTE}  # a disk of the user's gets one
    facts = (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, content, marks)
    return (*facts, status.st_nlink) if links else facts


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    sandbox = Sandbox(tmp_path_factory.mktemp("hostile"))
    sandbox.write_files_of_others()
    asyncio.run(sandbox.make())
    return sandbox


# What hostile hands do.

Change = Callable[[Sandbox, random.Random, Path], object]


def flip_bytes(_sandbox: Sandbox, chance: random.Random, path: Path) -> None:
    with path.open("r+b") as file:
        for _ in range(chance.randrange(1, 6)):
            file.seek(chance.randrange(min(160, max(1, path.stat().st_size))))
            file.write(bytes([chance.randrange(256)]))


def rewrite_header(sandbox: Sandbox, chance: random.Random, path: Path) -> None:
    """A field of a qcow2 header that QEMU would believe, or another file below."""
    others = [str(sandbox.outside / "secret"), str(path), str(sandbox.inside / "b.vda.r0.0.qcow2"), *ODD_NAMES]
    name = os.fsencode(chance.choice(others))
    with path.open("r+b") as file:
        match chance.randrange(4):
            case 0:
                offset, form = chance.choice([(4, ">I"), (8, ">Q"), (16, ">I"), (20, ">I"), (24, ">Q"), (32, ">I")])
                size = struct.calcsize(form)
                file.seek(offset)
                file.write(struct.pack(form, chance.choice(ODD_NUMBERS) % (1 << (8 * size))))
            case 1:
                file.seek(72)
                file.write(struct.pack(">Q", 1 << chance.randrange(64)))
            case 2:
                file.seek(8)
                file.write(struct.pack(">QI", 1024, len(name)))
                file.seek(1024)
                file.write(name)
            case _:
                file.seek(0)
                file.write(qcow2_header(1 << chance.randrange(9, 32), name[:1000], chance.choice([2, 3])))


def set_attribute(path: Path, name: str, value: bytes) -> None:
    """Set an extended attribute, if the file system has room for it: ext4 takes 4 KiB of them in all."""
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def rewrite_mark(_: Sandbox, chance: random.Random, path: Path) -> None:
    try:
        mark = json.loads(os.getxattr(path, ATTRIBUTE))
    except (OSError, ValueError, RecursionError):
        mark = {"cluster": CLUSTER, "kind": "layer", "facts": {}}
    if chance.random() < 0.5 and isinstance(mark, dict):
        facts = mark.setdefault("facts", {}) if isinstance(mark.get("facts"), dict) else {}
        where = chance.choice([mark, facts])
        key = chance.choice([*where, "owner", "base", "flattening", "on", "format", "file", "disk", "node", "nvrams"])
        where[key] = chance.choice(
            [
                *ODD_NAMES[:4],
                "raw",
                "b",
                "1:2:3:/etc/shadow",
                "1:2:3:/\0",
                "9" * 80 + ":1:1:/",
                "x:y:z",
                {},
                [],
                None,
                -1,
                1 << 70,
            ]
        )
        content = json.dumps(mark)
    else:
        content = chance.choice(ODD_JSON)
    set_attribute(path, ATTRIBUTE, content.encode(errors="replace")[:3000])


def note_odd_format(_: Sandbox, chance: random.Random, path: Path) -> None:
    set_attribute(path, NOTE, chance.choice([b"", b"raw", b"qcow2", b"\xff", b"vmdk", b"x" * 3000]))


def copy_mark(sandbox: Sandbox, chance: random.Random, path: Path) -> None:
    try:
        mark = os.getxattr(chance.choice(sandbox.targets()), ATTRIBUTE)
    except OSError:
        return
    set_attribute(path, ATTRIBUTE, mark)


def put_in_place(sandbox: Sandbox, chance: random.Random, path: Path) -> None:
    """Something else under the same name."""
    outside = sandbox.outside / chance.choice(["secret", "base.qcow2", "other.qcow2", "none", ""])
    path.unlink()
    match chance.randrange(9):
        case 0:
            path.symlink_to(chance.choice([outside, path, sandbox.inside, Path("/dev/zero"), Path("/proc/self/mem")]))
        case 1 if outside.is_file():
            path.hardlink_to(outside)
        case 2:
            os.mkfifo(path)
        case 3:
            path.mkdir()
        case 4:
            path.touch()
        case 5:
            with socket.socket(socket.AF_UNIX) as server:
                os.chdir(path.parent)  # its name may be too long for an address
                server.bind(path.name)
        case 6 if outside.is_file():
            shutil.copyfile(outside, path)
        case _:
            pass


def exchange(sandbox: Sandbox, chance: random.Random, path: Path) -> None:
    other = chance.choice([of for of in sandbox.targets() if os.path.lexists(of)])
    if other != path:
        path.rename(path.with_name("between"))
        other.rename(path)
        path.with_name("between").rename(other)


def rewrite_json(sandbox: Sandbox, chance: random.Random, _: Path) -> None:
    path = snapshot_dir(sandbox.overlays, CLUSTER, NAME) / "manifest.json"
    if not path.is_file() or path.is_symlink():
        return
    text = path.read_text(errors="replace")
    if chance.random() < 0.3:
        text = chance.choice(ODD_JSON)
    else:
        values = [
            str(sandbox.outside / "secret"),
            str(sandbox.inside / "a.vda.r0.1.qcow2"),
            "../../x",
            "b",
            "raw",
            "\\u0000",
        ]
        words = [word for word in text.split('"') if word.strip(" \n{}[]:,")]
        text = text.replace(chance.choice(words or ["x"]), chance.choice(values), chance.choice([1, -1]))
    path.write_text(text)


def lead_elsewhere(sandbox: Sandbox, chance: random.Random, _: Path) -> None:
    """A directory of snapshots that is a link."""
    place = chance.choice([snapshot_dir(sandbox.overlays, CLUSTER, NAME), sandbox.inside / "snapshots"])
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
        place.symlink_to(sandbox.outside)


CHANGES: tuple[Change, ...] = (
    *(flip_bytes, rewrite_header, rewrite_header, rewrite_mark, rewrite_mark, note_odd_format, copy_mark),
    *(put_in_place, put_in_place, exchange, exchange, rewrite_json, lead_elsewhere),
)


def change_at_random(sandbox: Sandbox, chance: random.Random) -> list[str]:
    done = []
    for _ in range(chance.randrange(1, 5)):
        change, path = chance.choice(CHANGES), chance.choice(sandbox.targets())
        done.append(f"{change.__name__} {path.name}")
        if path.is_file() and not path.is_symlink() and path.lstat().st_nlink == 1:
            change(sandbox, chance, path)
    return done


# What the product does with it.


def only_clear_errors(step: Callable[[], object], told: list[str]) -> bool:
    """Whether it succeeded; anything but an error that a user can read fails the test."""
    failure = None
    try:
        step()
    except Exception as error:
        failure = error
    assert failure is None or error_to_answer(failure).code is not ErrorCode.INTERNAL_ERROR, (told, failure)
    return failure is None


def look_at_all(sandbox: Sandbox, told: list[str]) -> None:
    """Observe, plan, and ask for each node whether it could start; nothing is changed by it."""
    observed = sandbox.observed()
    todo = plan(sandbox.compiled(observed), observed)
    only_clear_errors(lambda: read_manifests(sandbox.overlays, CLUSTER), told)
    only_clear_errors(sandbox.load, told)
    for snapshot in observed.snapshots.values():
        if isinstance(snapshot, Snapshot):
            frozen = {disk.path: disk.format for node in snapshot.nodes.values() for disk in node.disks.values()}
            only_clear_errors(partial(broken_chains, frozen), told)
    for node in NODES:
        usable = only_clear_errors(partial(let_start, sandbox, node), told)
        starts = any(isinstance(action, Start) and action.node == node for action in todo.actions)
        if usable:
            require_sound(sandbox, node, told)
        for name, layer in observed.layers.items():
            if starts and usable and Path(name).name.startswith(f"{node}."):
                assert isinstance(layer, Layer), told


def let_start(sandbox: Sandbox, node: str) -> None:
    require_usable(sandbox.files_of(node), uses_of(sandbox.record))


def require_sound(sandbox: Sandbox, node: str, told: list[str]) -> None:
    """What a machine is let start on is a file of its own, and stands on what it was made on."""
    for disk in sandbox.files_of(node).disks.values():
        for path in (disk.path, *(below.path for below in disk.backing)):
            assert path.is_file(), told
            assert not path.is_relative_to(sandbox.inside) or not path.is_symlink(), told
            if not disk.read_only and path.is_relative_to(sandbox.inside):
                assert path.lstat().st_nlink == 1, told
                assert json.loads(os.getxattr(path, ATTRIBUTE)).get("node") == node, told


def verify_all(sandbox: Sandbox) -> dict[str, tuple[str, ...]]:
    observed = sandbox.observed()
    return asyncio.run(verify_snapshots(observed.snapshots, observed.layers, sandbox.overlays, CLUSTER))


def delete_all(sandbox: Sandbox, told: list[str]) -> None:
    """What a round does of `destroy --remove-overlays` on disk."""
    record = sandbox.record.model_copy(update={"deletion": Deletion(remove_overlays=True)})
    observed = sandbox.observed().model_copy(update={"domains": {}, "power": {}})
    todo = plan(compile_document(record, EMULATED, observed, now=NOW), observed)
    for action in todo.actions:
        if isinstance(action, DeleteLayer):
            only_clear_errors(partial(delete_layer, action.path, CLUSTER), told)
    only_clear_errors(lambda: remove_snapshot(sandbox.overlays, CLUSTER, NAME), told)
    for node in NODES:
        only_clear_errors(partial(delete_seed, sandbox.overlays, CLUSTER, node), told)


def revert_variables(sandbox: Sandbox, told: list[str]) -> None:
    for node in NODES:
        copy, target = snapshot_nvram_path(sandbox.overlays, CLUSTER, NAME, node), sandbox.inside / f"{node}.r1.nvram"
        if only_clear_errors(partial(put_nvram, copy, target, CLUSTER, node), told):
            assert not target.exists() or target.read_bytes() == b"variables", told


def test_a_cluster_in_nobodys_hands_starts_and_is_whole(sandbox: Sandbox) -> None:
    observed = sandbox.observed()
    assert not [of for of in (*observed.layers.values(), *observed.snapshots.values()) if isinstance(of, Unknown)]
    todo = plan(sandbox.compiled(observed), observed)
    assert {action.node for action in todo.actions if isinstance(action, Start)} == set(NODES)
    assert verify_all(sandbox) == {NAME: ()}
    for node in NODES:
        require_usable(sandbox.files_of(node), uses_of(sandbox.record))
    sandbox.remember()  # with the notes on the user's disks


def test_random_changes_of_a_clusters_files_cost_no_more_than_clear_errors(sandbox: Sandbox, tally: Tally) -> None:
    chance, here = random.Random(SEED), Path.cwd()
    with tally.fuzzing(ROUNDS):
        for number in range(ROUNDS):
            try:
                change_and_look(sandbox, number, chance)
            finally:
                os.chdir(here)
                sandbox.restore()


def change_and_look(sandbox: Sandbox, number: int, chance: random.Random) -> None:
    """One input: some changes at random, after which everything is tried that reads, starts or deletes."""
    told = [f"round {number}", *change_at_random(sandbox, chance)]
    outside, inside = tree(sandbox.outside), tree(sandbox.inside, links=False)
    look_at_all(sandbox, told)
    assert tree(sandbox.inside, links=False) == inside, told
    if number % 50 == 0:
        only_clear_errors(partial(verify_all, sandbox), told)
    assert tree(sandbox.outside) == outside, told
    revert_variables(sandbox, told)
    if number % 5 == 0:  # whatever is deleted has to be made again
        delete_all(sandbox, told)
    assert without_links(tree(sandbox.outside)) == without_links(outside), told


def without_links(found: dict[str, object]) -> dict[str, object]:
    """How many names a file has changes when one inside of the cluster's directory goes."""
    return {path: facts[:-1] if isinstance(facts, tuple) else facts for path, facts in found.items()}
