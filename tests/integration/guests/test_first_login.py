"""The first moment at which a node counts as reachable: from then on its power may be cut."""

from reconciler.model.record import StopMode
from tests.integration.bed import Bed, Session
from tests.integration.guests.conftest import BOOT_TIMEOUT_S

CLUSTER = "solo"


async def test_a_node_that_is_cut_at_its_first_login_takes_logins_again(bed: Bed) -> None:
    """Only then is a snapshot with memory of that moment of any use, too."""
    bed.write_topology(CLUSTER, nodes=1)
    async with bed.runtime() as runtime:
        session = Session(runtime)
        await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
        await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
        status = await session.clusters.start(CLUSTER, ssh_timeout_s=BOOT_TIMEOUT_S)
        assert status.nodes[0].ssh_reachable
        await session.clusters.destroy(CLUSTER, remove_overlays=True)
