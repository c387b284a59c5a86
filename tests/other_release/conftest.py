"""The cluster of the other release, for `upgrade` and `downgrade`."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.bed import Bed, Session
from tests.lab.daemons import start_libvirtd, stop_libvirtd
from tests.other_release.earlier import CLUSTER, DIRECTORY, unpack
from tests.other_release.short import EARLIER


@pytest.fixture(scope="module")
async def taken_up() -> AsyncIterator[Session]:
    """The product as it starts on a host whose libvirt was replaced."""
    stop_libvirtd()
    unpack(Path(os.environ[EARLIER]))
    start_libvirtd()
    bed = Bed.found_in(DIRECTORY)
    async with bed.runtime() as runtime:
        record = await runtime.store.get(CLUSTER)
        assert record is not None
        await runtime.controller.bind_copies(record)  # tar made other files of them, which no upgrade does
        yield Session(runtime)
