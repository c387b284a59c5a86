"""Files of a cluster other than its record and its disks."""

from itertools import chain
from pathlib import Path

from reconciler.controller.leavers import leaver_lock_path
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.locks import remove_lock
from reconciler.settings import Settings


def forking_lock_path(settings: Settings, cluster: str) -> Path:
    """The lock of who makes forks of a cluster."""
    return settings.state_dir / "forking" / f"{cluster}.lock"


def remove_side_files(settings: Settings, cluster: str) -> None:
    """Delete the known_hosts file, the logs of healers, and locks that nobody holds. Blocking."""
    hosts, healers = settings.state_dir / "known_hosts", settings.state_dir / "healers"
    for path in (
        *(hosts / name for name in (cluster, f"{cluster}.sync")),
        *(healers / name for name in (f"{cluster}.log", f"{cluster}.log.1")),
    ):
        with reporting_os_errors(path):
            path.unlink(missing_ok=True)
    of_transfers = (settings.artifact_store_dir / "locks").glob(f"{cluster}.*")
    of_healers = [healers / f"{cluster}.lock", leaver_lock_path(settings, cluster)]
    for lock in chain(of_healers, of_transfers, [forking_lock_path(settings, cluster)]):
        remove_lock(lock)
