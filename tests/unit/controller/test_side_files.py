"""What a cluster leaves beside its record and its disks goes with it, and nothing of others does."""

from pathlib import Path

from reconciler.controller.side_files import forking_lock_path, remove_side_files
from reconciler.files.locks import locked
from reconciler.settings import Settings
from reconciler.usecases.login import known_hosts_path


def leave(settings: Settings, cluster: str) -> set[Path]:
    healers, locks = settings.state_dir / "healers", settings.artifact_store_dir / "locks"
    paths = {
        known_hosts_path(settings.state_dir, cluster),
        known_hosts_path(settings.state_dir, f"{cluster}.sync"),
        *(healers / f"{cluster}.{end}" for end in ("log", "log.1", "lock", "visit.lock")),
        *(locks / f"{cluster}.{node}" for node in ("n0", "n1.example")),
    }
    paths.add(forking_lock_path(settings, cluster))
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


async def test_all_that_is_left_of_a_cluster_is_removed_but_what_is_held(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", artifact_store_dir=tmp_path / "trees")
    ours, others = leave(settings, "lab"), leave(settings, "lab-2")
    held = settings.artifact_store_dir / "locks" / "lab.n0"
    async with locked(held):
        remove_side_files(settings, "lab")
        assert {path for path in ours if path.exists()} == {held}
    remove_side_files(settings, "lab")
    assert not held.exists()
    assert all(path.exists() for path in others)
