"""Other stores over the same disks, while clients work: none of them may change anything."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from reconciler.files.ownership import read_mark
from tests.integration.bed import Bed
from tests.kvm_verdict import give_kvm_verdict
from tests.soak.clients import CLUSTER, write_topology
from tests.soak.script import FIXED_NODES, MEMORIES_MIB, SNAPSHOTS, Apply, Intruder, Step

_TIMEOUT_S = 180.0
_DATABASE = "records.sqlite"

_APPLY = ("apply", "--no-wait", "--allow-restart", "--allow-data-loss")
_DESTROY_BY_MARKS = ("destroy", "--force", "--yes", "--remove-overlays", CLUSTER)
_WITH_A_RECORD = (
    ("start", "--no-wait", CLUSTER),
    ("crash", "--no-wait", CLUSTER, FIXED_NODES[0]),
    ("destroy", "--yes", "--remove-overlays", CLUSTER),
    *(("snapshot", "revert", "--no-wait", "--yes", CLUSTER, name) for name in SNAPSHOTS[:2]),
    *(("snapshot", "delete", CLUSTER, name) for name in SNAPSHOTS[:2]),
)
"""What a copy of the store may be asked for, which knows the cluster and, perhaps, its snapshots."""


class Intruders:
    """A store that never knew the cluster, and a copy of the service's own that is used once it is out of date."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._copy = bed.directory / "copy"
        self._topology = write_topology(bed, Apply(2, MEMORIES_MIB[0])).rename(bed.directory / "intruder.yaml")
        self.refused = 0

    def intrude(self, step: Step) -> None:
        """Let the step's intruder apply its version of the cluster. Fails unless that is refused."""
        time.sleep(step.after_s)
        match step.intruder:
            case Intruder.SECOND_STORE:
                self._require_refusal(self._bed.directory / "second", step.pick, (_APPLY, _DESTROY_BY_MARKS))
            case Intruder.OLDER_COPY:
                self._come_back(step)
            case None:
                return

    def _come_back(self, step: Step) -> None:
        """The copy is made at the first call, and once it is used up: it goes on only where it is out of date."""
        if self._copy.exists() and self._is_out_of_date():
            self._require_refusal(self._copy, step.pick, (_APPLY, _DESTROY_BY_MARKS, *_WITH_A_RECORD))
            shutil.rmtree(self._copy)
        if not self._copy.exists():
            self._copy.mkdir()
            with (
                closing(sqlite3.connect(self._bed.settings.state_dir / _DATABASE)) as store,
                closing(sqlite3.connect(self._copy / _DATABASE)) as copy,
            ):
                store.backup(copy)

    def _is_out_of_date(self) -> bool:
        """Whether a generation has acted since that the copy does not know: before, it is the store, as good as any."""
        head = read_mark(self._bed.settings.overlay_dir / CLUSTER)
        with closing(sqlite3.connect(self._copy / _DATABASE)) as copy:
            (newest,) = copy.execute(
                "SELECT max(generation) FROM history WHERE cluster_name = ?", (CLUSTER,)
            ).fetchone()
        return head is not None and head.origin is not None and head.origin.generation > newest

    def _require_refusal(self, state_dir: Path, pick: int, commands: Sequence[Sequence[str]]) -> None:
        give_kvm_verdict(state_dir)
        words = commands[pick % len(commands)]
        command = [str(Path(sys.executable).parent / "vmcluster"), *words]
        command += [str(self._topology)] if words is _APPLY else []
        environment = {**os.environ, **self._bed.environment, "VMCLUSTER_STATE_DIR": str(state_dir)}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        assert ended.returncode != 0, f"{state_dir} was obeyed, {' '.join(words)}: {ended.stdout}"
        assert "INTERNAL_ERROR" not in ended.stderr, ended.stderr
        self.refused += "CONFLICT" in ended.stderr
