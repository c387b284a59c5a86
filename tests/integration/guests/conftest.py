"""One cluster of three real machines for the whole run: booting is dear, so the tests share it and leave it running."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.bed import SHARED_CLUSTER, Bed, Session, temporary_bed

NODES = ("n0", "n1", "n2")
BOOT_TIMEOUT_S = 300.0
"""Three emulated machines that boot at once on two busy cores."""


@pytest.fixture(scope="session")
def guest_bed() -> Iterator[Bed]:
    """The place of the shared cluster, which QEMU's user may enter."""
    with temporary_bed() as bed:
        yield bed


@pytest.fixture(scope="session")
async def guest_session(guest_bed: Bed) -> AsyncIterator[Session]:
    """The client that keeps the shared cluster; it is destroyed with the client."""
    guest_bed.write_topology(SHARED_CLUSTER, nodes=len(NODES))
    async with guest_bed.runtime() as runtime:
        session = Session(runtime)
        await session.clusters.apply(SHARED_CLUSTER, timeout_s=BOOT_TIMEOUT_S)
        yield session
        await session.clusters.destroy(SHARED_CLUSTER, remove_overlays=True)


@pytest.fixture
async def trio(guest_session: Session) -> Session:
    """The shared cluster with all of its nodes up, whatever the last test did to them."""
    await guest_session.clusters.start(SHARED_CLUSTER, ssh_timeout_s=BOOT_TIMEOUT_S)
    return guest_session
