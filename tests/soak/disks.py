"""What the disks hold, and what they may hold after a step.

A disk's content is the patterns of a few blocks; everything else on it is zero. A snapshot, and the present, is the
content of all nodes together: after a step the nodes must agree on which of the possible pasts they are in.
"""

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.snapshots.films import BLOCK_BYTES, states, top_layers, write_block
from tests.soak.clients import CLUSTER, Answer
from tests.soak.script import FIXED_NODES, Apply, Create, Delete, Revert, Step

DISK_BYTES = 8 << 20
BLOCKS = 4

Content = tuple[int, ...]
Cut = Mapping[str, Content]
"""By node: what all disks held at one moment."""

EMPTY: Content = (0,) * BLOCKS
_BYTE = re.compile(r"^[0-9a-f]{8}:  ([0-9a-f]{2})", re.MULTILINE)


@dataclass
class Disks:
    """The model: what is on the disks now, and in each snapshot."""

    present: Cut = field(default_factory=lambda: dict.fromkeys(FIXED_NODES, EMPTY))
    snapshots: dict[str, Cut] = field(default_factory=dict)

    def write(self, step: Step) -> None:
        """Let every node write the step's pattern to one block."""
        block = step.number % BLOCKS
        for node in self.present:
            write_block(CLUSTER, node, block, step.pattern)
        self.present = {
            node: (*content[:block], step.pattern, *content[block + 1 :]) for node, content in self.present.items()
        }

    def check(self, answers: Iterable[Answer], snapshot_dir: Path) -> None:
        """Read all disks and snapshots, assert that they hold only what is possible, and continue from there."""
        answers = list(answers)
        now, kept = read_present(), read_snapshots(snapshot_dir)
        replaced = any(isinstance(of.operation, Apply) for of in answers)
        made = {of.operation.name for of in answers if isinstance(of.operation, Create)}
        pasts = [self.present, *self._reverts_to(answers)]
        required = self._required(answers)
        assert _is_one_of(now, [required] if required else pasts, replaced=replaced), f"present {now}, may be {pasts}"
        for name, cut in kept.items():
            may_be = [self.snapshots[name]] if name in self.snapshots else []
            may_be += pasts if name in made else []
            assert _is_one_of(cut, may_be, replaced=replaced and name in made), f"{name} is {cut}, may be {may_be}"
        self._check_names(answers, kept)
        self.present, self.snapshots = now, kept

    def _reverts_to(self, answers: list[Answer]) -> list[Cut]:
        names = [of.operation.name for of in answers if isinstance(of.operation, Revert)]
        return [self.snapshots[name] for name in names if name in self.snapshots]

    def _required(self, answers: list[Answer]) -> Cut | None:
        """The states that are possible after one revert that succeeded."""
        others = [of for of in answers if isinstance(of.operation, Revert | Create | Delete | Apply)]
        if len(others) == 1 and isinstance(others[0].operation, Revert) and others[0].error is None:
            return self.snapshots[others[0].operation.name]
        return None

    def _check_names(self, answers: list[Answer], kept: Mapping[str, Cut]) -> None:
        """A request that succeeded has its effect, unless the other client requested the opposite."""
        made = {of.operation.name for of in answers if isinstance(of.operation, Create) and of.error is None}
        deleted = {of.operation.name for of in answers if isinstance(of.operation, Delete) and of.error is None}
        touched = {of.operation.name for of in answers if isinstance(of.operation, Create | Delete)}
        assert made - deleted <= kept.keys(), f"{made - deleted - kept.keys()} answered as made and is not there"
        assert not (deleted - _asked_to_be_made(answers)) & kept.keys(), "a deleted snapshot is there"
        assert self.snapshots.keys() - touched <= kept.keys(), f"lost: {self.snapshots.keys() - touched - kept.keys()}"
        assert kept.keys() - self.snapshots.keys() <= _asked_to_be_made(answers), "a snapshot that nobody asked for"

    def check_whole(self) -> None:
        """Every byte of every disk is what it should be."""
        for node, content in self.present.items():
            assert digest(top_layers(CLUSTER, node)["vda"]) == digest_of(content), f"the disk of {node} differs"


def read_present() -> Cut:
    """What each node would read now."""
    return {node: read(top_layers(CLUSTER, node)["vda"]) for node in states(CLUSTER)}


def read_snapshots(snapshot_dir: Path) -> dict[str, Cut]:
    """What each snapshot holds, by the layers that its manifest names."""
    manifests = (json.loads(path.read_text()) for path in sorted(snapshot_dir.glob("*/manifest.json")))
    return {
        manifest["snapshot_name"]: {
            node: read(Path(part["disks"]["vda"]["path"])) for node, part in manifest["nodes"].items()
        }
        for manifest in manifests
    }


def read(layer: Path) -> Content:
    """The patterns on a disk, read through its whole chain, also while QEMU has it open."""
    commands = [word for block in range(BLOCKS) for word in ("-c", f"read -v {block * BLOCK_BYTES} 512")]
    said = _run("qemu-io", "-U", "-r", "-f", "qcow2", *commands, str(layer))
    found = _BYTE.findall(said)
    per_block = len(found) // BLOCKS
    assert per_block * BLOCKS == len(found) > 0, said
    return tuple(int(found[block * per_block], 16) for block in range(BLOCKS))


def digest(layer: Path) -> str:
    """The checksum of everything that a guest would read from this layer."""
    with tempfile.NamedTemporaryFile() as raw:
        _run("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", str(layer), raw.name)
        return hashlib.sha256(Path(raw.name).read_bytes()).hexdigest()


def digest_of(content: Content) -> str:
    """The checksum of a whole disk with that content."""
    blocks = b"".join(bytes([pattern]) * BLOCK_BYTES for pattern in content)
    return hashlib.sha256(blocks.ljust(DISK_BYTES, b"\0")).hexdigest()


def _asked_to_be_made(answers: list[Answer]) -> set[str]:
    return {of.operation.name for of in answers if isinstance(of.operation, Create)}


def _is_one_of(found: Cut, may_be: Iterable[Cut], *, replaced: bool) -> bool:
    return any(_agrees(found, cut, replaced=replaced) for cut in may_be)


def _agrees(found: Cut, cut: Cut, *, replaced: bool) -> bool:
    """Whether all nodes are in that past; a node that was recreated since begins empty."""
    come_and_go = found.keys() - FIXED_NODES if replaced else set()
    return all(
        content == cut.get(node) or (node in come_and_go and content == EMPTY) for node, content in found.items()
    )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
