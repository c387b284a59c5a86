"""The verbs on a cluster on a host that is only seen."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.model.document import ClusterDocument
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases.clusters import Clusters
from tests.libvirt_socket import silent_libvirt
from tests.unit.usecases.seen_host import SeenHost


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SeenHost:
    return SeenHost(monkeypatch)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = Settings(
        state_dir=tmp_path,
        fault_registry=tmp_path / "faults.json",
        libvirt_uri=silent_libvirt(tmp_path),
    )
    async with Runtime(settings) as opened:
        yield opened


@pytest.fixture
async def applied(runtime: Runtime, host: SeenHost) -> Clusters:
    """The verbs on a cluster that was applied, and is as wanted."""
    host.find = ClusterDocument
    verbs = Clusters(runtime, actor="test")
    await verbs.apply("lab", start=False)
    host.forget()
    return verbs
