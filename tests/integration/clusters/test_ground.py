"""The ground is taken from under clusters: a file system that is full or read-only, a state put back under a client.

Whatever is asked meanwhile is a clear error, nothing is lost, and all is as it is desired once the ground is back.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError, OperationFailed
from reconciler.model.choices import StopMode
from tests.integration.bed import Bed, Session
from tests.integration.clusters.test_other_stores import CLUSTER, as_wanted, define
from tests.integration.kills import run
from tests.integration.snapshots.films import small_nodes, top_layers, write_block
from tests.soak.disks import read

MIB = 1 << 20


async def start(session: Session) -> None:
    await session.clusters.start(CLUSTER, wait_for_ssh=False)


async def snap(session: Session) -> None:
    await session.snapshots.create(CLUSTER, "kept")


async def stop(session: Session) -> None:
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)


@pytest.fixture
def ground(bed: Bed) -> Iterator[Path]:
    """A small file system that the layers are on."""
    place = bed.settings.overlay_dir
    place.mkdir(mode=0o755, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=160m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def mounted_read_only(place: Path) -> Callable[[], object]:
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    return lambda: subprocess.run(["mount", "-o", "remount,rw", place], check=True)


def full(place: Path) -> Callable[[], object]:
    ballast = place / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
    assert shutil.disk_usage(place).free < MIB
    return ballast.unlink


async def code_of(verb: Awaitable[object]) -> ErrorCode | None:
    """Of the error that a verb ends with; None where it is done."""
    try:
        await verb
    except ClusterError as error:
        return error.code
    return None


async def everything_is_refused_or_done(session: Session) -> None:
    """No verb ends in a defect, whatever it can still do."""
    verbs: list[Any] = [
        session.clusters.apply(CLUSTER, wait_for_ssh=False),
        session.snapshots.create(CLUSTER, "second", include_memory=True),
        session.snapshots.create(CLUSTER, "third"),
        session.inspection.status(CLUSTER),
        session.snapshots.listing(CLUSTER),
    ]
    for verb in verbs:
        assert await code_of(verb) is not ErrorCode.INTERNAL_ERROR


@pytest.mark.parametrize("harm", [mounted_read_only, full])
def test_no_room_for_layers_costs_errors_and_no_data(
    bed: Bed, ground: Path, harm: Callable[[Path], Callable[[], object]]
) -> None:
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    run(bed, define)
    write_block(CLUSTER, "n0", 0, 7)
    run(bed, start, snap, stop)
    kept = Path(str(top_layers(CLUSTER, "n0")["vda"]).replace(".1.qcow2", ".0.qcow2"))
    mend = harm(ground)
    run(bed, everything_is_refused_or_done)
    mend()
    run(bed, stop, start, as_wanted)
    assert read(top_layers(CLUSTER, "n0")["vda"])[0] == 7
    assert read(kept)[0] == 7


def test_a_revert_without_room_changes_nothing_and_one_that_runs_out_of_it_is_finished_later(
    bed: Bed, ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed.write_topology(CLUSTER, edit=small_nodes)
    run(bed, define)
    write_block(CLUSTER, "n0", 0, 7)
    run(bed, start, snap, stop)
    write_block(CLUSTER, "n0", 0, 8)

    async def refused(session: Session) -> None:
        before = await session.runtime.store.get(CLUSTER)
        with pytest.raises(OperationFailed, match=r"nothing was changed: only 0 MiB are free") as told:
            await session.snapshots.revert(CLUSTER, "kept", wait=False)
        assert (told.value.hint or "").startswith("free some space")
        assert await session.runtime.store.get(CLUSTER) == before

    async def left(session: Session) -> None:
        with pytest.raises(ClusterError, match=r"only 0 MiB are free") as told:
            await session.snapshots.revert(CLUSTER, "kept", wait=False)
        assert "stays requested" in (told.value.hint or "")

    mend = full(ground)
    run(bed, refused)
    monkeypatch.setattr("reconciler.observe.verification.require_space", lambda _: None)  # it is full a moment later
    run(bed, left)
    assert read(top_layers(CLUSTER, "n0")["vda"])[0] == 8
    mend()
    run(bed, start, as_wanted)
    now = top_layers(CLUSTER, "n0")["vda"]
    assert now.name.startswith("n0.vda.r1.")
    assert read(now)[0] == 7


def by_rename(copy: Path, store: Path) -> None:
    copy.rename(store)


def by_writing(copy: Path, store: Path) -> None:
    shutil.copyfile(copy, store)


def by_writing_and_removing_the_log(copy: Path, store: Path) -> None:
    shutil.copyfile(copy, store)
    for path in store.parent.glob(f"{store.name}-*"):
        path.unlink()


@pytest.mark.parametrize("put_back", [by_rename, by_writing, by_writing_and_removing_the_log])
def test_a_state_put_back_under_a_client_that_runs_loses_nothing(
    bed: Bed, put_back: Callable[[Path, Path], None]
) -> None:
    """What SQLite has in its log may make the copy whole again: then it is the newest state, and may act."""
    bed.write_topology(CLUSTER, nodes=1, edit=small_nodes)
    store, copy = bed.settings.state_dir / "records.sqlite", bed.directory / "copy.sqlite"
    run(bed, define)
    write_block(CLUSTER, "n0", 0, 7)
    run(bed, start)
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)

    async def go_on(session: Session) -> None:
        await snap(session)
        await session.snapshots.revert(CLUSTER, "kept", wait=False)
        put_back(copy, store)
        await refused_or_done(session)

    async def refused_or_done(session: Session) -> None:
        for verb in (define, stop, start):
            assert await code_of(verb(session)) in {None, ErrorCode.CONFLICT, ErrorCode.STORE_UNAVAILABLE}

    for verb in (go_on, refused_or_done):
        run(bed, verb)
        now = top_layers(CLUSTER, "n0")["vda"]
        assert now.name.startswith("n0.vda.r1."), "the revert holds"
        assert read(now)[0] == read(now.with_name("n0.vda.r0.0.qcow2"))[0] == 7
