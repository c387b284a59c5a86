"""A fault whose time is over leaves the record, whatever else can be done in that round."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.controller.looks import Looks
from reconciler.controller.round import Rounds
from reconciler.desired.compile import HostFacts
from reconciler.errors import LibvirtUnavailable
from reconciler.guest.pool import SshPool
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.faults import Halves
from reconciler.model.record import ClusterRecord
from reconciler.store.sqlite import SqliteStore
from reconciler.templates.cloning import Templates
from tests.simulation.worlds import running_record
from tests.unit.faults.samples import impair, partition

NODES = ("alpha", "beta")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path)
    yield opened
    await opened.close()


def rounds_without_libvirt(store: SqliteStore, export: Path) -> Rounds:
    async def facts(_record: ClusterRecord) -> HostFacts:
        return HostFacts(kvm_usable=False)

    libvirt, links = Libvirt("test:///no/such/file"), LinkDriver()
    templates = Templates(export.parent / "templates", libvirt.templates, store.request_round)
    return Rounds(store, Looks(store, libvirt, links, facts), libvirt, links, SshPool(), export, templates)


async def test_the_controller_takes_an_expired_fault_from_the_record_and_the_history_says_so(
    store: SqliteStore, tmp_path: Path
) -> None:
    export = tmp_path / "faults.json"
    over = datetime.now(UTC) - timedelta(seconds=1)
    faults = {
        "over": partition(Halves(), NODES, name="over", expires_at=over),
        "later": partition(Halves(), NODES, name="later", expires_at=over + timedelta(hours=1)),
        "stays": impair("alpha", "beta", nodes=NODES, name="stays", delay_ms=10),
    }
    record = running_record(*NODES).model_copy(update={"faults": faults})
    written = await store.put(record, expected_generation=0, actor="user")
    result = await rounds_without_libvirt(store, export).run(written.cluster_name)
    assert isinstance(result.error, LibvirtUnavailable)
    kept = await store.get(written.cluster_name)
    assert kept is not None
    assert (list(kept.faults), kept.generation) == (["later", "stays"], written.generation + 1)
    (_, entry) = await store.history(written.cluster_name)
    (exported,) = json.loads(export.read_text())["clusters"].values()
    assert [of["handle_id"] for of in exported] == ["later", "stays"]
    assert entry.actor == "controller"
    assert {(step["op"], step["path"]) for step in entry.patch} == {("remove", "/faults/over")}
    await rounds_without_libvirt(store, export).run(written.cluster_name)
    assert len(await store.history(written.cluster_name)) == 2
