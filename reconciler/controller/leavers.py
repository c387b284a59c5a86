"""Leavers: one background process for each network that this host visits, which takes it out of it in time.

A leaver holds a lock whose file is there for as long as the host may be in the network. A file that nobody holds is a
leaver that was killed: whichever process acts next on this host, or uses that network, starts it again. Where a
service runs, that ends the visits, and there are no leavers.
"""

import time
from pathlib import Path

import structlog

from reconciler.controller.healers import start_leaver
from reconciler.errors import ClusterError
from reconciler.files.atomic import reporting_os_errors
from reconciler.settings import Settings
from reconciler.store.lease import SERVICE, Lease

log = structlog.get_logger(__name__)

_SUFFIX = ".visit.lock"
_STARTING_S = 30.0
"""For so long a leaver that was started may not hold its lock yet."""


def leaver_lock(settings: Settings, cluster: str) -> Lease:
    """The lock of the process that takes this host out of a cluster's network."""
    return Lease(leaver_lock_path(settings, cluster), purpose="leaver")


def leaver_lock_path(settings: Settings, cluster: str) -> Path:
    """The file of that lock."""
    return settings.state_dir / "healers" / f"{cluster}{_SUFFIX}"


def service_runs(lease: Lease) -> bool:
    """Whether a service has this host's lease, of which `lease` is not the holder."""
    holder = lease.holder()
    if holder is None or holder.purpose != SERVICE:
        return False
    if lease.try_acquire():  # it was killed
        lease.release()
        return False
    return True


class Leavers:
    """What this process has to do with them. Blocking."""

    def __init__(self, settings: Settings, lease: Lease) -> None:
        self._settings = settings
        self._lease = lease
        self._starting_until_s: dict[str, float] = {}

    def ensure(self, cluster: str) -> None:
        """Have a leaver for a network that this host visits, unless a service runs."""
        lock = leaver_lock(self._settings, cluster)
        if lock.try_acquire():
            lock.release()  # its file stays
            if not service_runs(self._lease):
                self._have_started(cluster)

    def ensure_all(self) -> None:
        """Start again what was killed. No service runs: this process is about to do its work."""
        directory = self._settings.state_dir / "healers"
        with reporting_os_errors(directory):
            clusters = [path.name.removesuffix(_SUFFIX) for path in directory.glob(f"*{_SUFFIX}")]
        for cluster in clusters:
            lock = leaver_lock(self._settings, cluster)
            if lock.try_acquire():
                lock.release()
                try:
                    self._have_started(cluster)
                except ClusterError as error:
                    log.warning("leaver_not_started", cluster=cluster, cause=str(error))

    def _have_started(self, cluster: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._starting_until_s.get(cluster, 0.0):
            self._starting_until_s[cluster] = now_s + _STARTING_S
            start_leaver(self._settings, cluster)
