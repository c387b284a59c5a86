"""A topology as this host can have it: what a client's own configuration decides, and what the record does."""

from pathlib import Path

import pytest

from reconciler.errors import Conflict
from reconciler.files.roots import EVERYWHERE
from reconciler.records import record_changes
from reconciler.runtime import Runtime
from reconciler.usecases.loading import load_for_host
from tests.libvirt_socket import silent_libvirt
from tests.unit.desired.conftest import TOPOLOGY
from tests.unit.desired.files import settings_in, write_host_files


@pytest.fixture
def host(tmp_path: Path) -> Path:
    write_host_files(tmp_path)
    return tmp_path


def client(host: Path, overlay_dir: Path) -> Runtime:
    """A client of the one store whose own configuration or environment names this directory."""
    named = {"overlay_dir": overlay_dir, "state_dir": host / "state", "libvirt_uri": silent_libvirt(host)}
    return Runtime(settings_in(host).model_copy(update=named))


def topology(host: Path, text: str = TOPOLOGY) -> Path:
    path = host / "lab.yaml"
    path.write_text(text)
    return path


async def test_a_client_with_another_default_finds_the_cluster_where_its_record_says(host: Path) -> None:
    async with client(host, host / "here") as first, client(host, host / "there") as second:
        cluster, spec = await load_for_host(first, topology(host), EVERYWHERE)
        assert spec.overlay_dir == host / "here"
        record = record_changes.with_spec(None, cluster, spec)
        await first.store.put(record, expected_generation=0, actor="test")
        _, same = await load_for_host(second, topology(host), EVERYWHERE)
        assert record_changes.with_spec(record, cluster, same) == record
        named = topology(host, f"{TOPOLOGY}overlay_dir: {host / 'there'}\n")
        for other in (first, second):
            _, elsewhere = await load_for_host(other, named, EVERYWHERE)
            with pytest.raises(Conflict, match=f"in {host / 'here'}, but overlay_dir is now {host / 'there'}"):
                record_changes.with_spec(record, cluster, elsewhere)
