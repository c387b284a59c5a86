"""Whether this host can share its store with others."""

from collections.abc import Iterator, Mapping

from reconciler.errors import ClusterError
from reconciler.host import checks
from reconciler.model.examination import CheckResult, failed, ok, warning
from reconciler.model.host import HostRecord
from reconciler.runtime import open_store
from reconciler.settings import Settings


async def check_member(settings: Settings) -> list[CheckResult]:
    """What this host lacks as one of several; empty where its store is a directory. Takes no lease."""
    if settings.etcd is None:
        return []
    return [*await _check_store(settings), *await checks.check_tunnels(settings.host_address)]


async def _check_store(settings: Settings) -> list[CheckResult]:
    store = open_store(settings)
    try:
        hosts = await store.hosts()
    except ClusterError as error:
        return [failed("store", error.message, error.hint or "see the configuration of `store`")]
    finally:
        await store.close()
    reached = ok("store", f"{settings.store} answers; {len(hosts)} hosts have reported")
    return [reached, _check_own(settings.own_host, hosts), *_check_images(settings.own_host, hosts)]


def _check_own(name: str, hosts: Mapping[str, HostRecord]) -> CheckResult:
    own = hosts.get(name)
    if own is None:
        told = f"{name} has not reported yet"
        return warning("host", told, "run `vmcluster watch` here, as a service")
    if not own.alive:
        told = f"{name} does not keep its lease alive, so nothing is placed or repaired here"
        return warning("host", told, "run `vmcluster watch` here, as a service")
    return ok("host", f"{name} is alive{', and cordoned' if own.cordoned else ''}")


def _check_images(name: str, hosts: Mapping[str, HostRecord]) -> Iterator[CheckResult]:
    """Images that most others have under a name, and this host has not, or with another content."""
    if name not in hosts:
        return
    own = {image.path: image.digest for image in hosts[name].images}
    for path in sorted({image.path for host in hosts.values() for image in host.images}):
        theirs = {image.digest for of in hosts.values() if of.name != name for image in of.images if image.path == path}
        if theirs and own.get(path) not in theirs:
            told = "has another content than on other hosts" if path in own else "is on other hosts only"
            remedy = "copy it from one of them: nodes that need it are placed there only"
            yield warning("image", f"{path} {told}", remedy)
