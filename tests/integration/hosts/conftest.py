"""Three hosts with an etcd, for the tests of this directory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import WORK_DIR
from tests.lab.hosts import Hosts, found_hosts, running_hosts

COUNT = 3


@pytest.fixture(scope="package")
def hosts() -> Iterator[Hosts]:
    """The hosts that the lab was started with, or some that are started in it."""
    if (found := found_hosts()) is not None:
        yield found
        return
    with tempfile.TemporaryDirectory(dir=WORK_DIR) as directory:
        image_dir = os.environ.get("VMCLUSTER_TEST_IMAGE_DIR")
        with running_hosts(COUNT, Path(directory), Path(image_dir) if image_dir else None) as started:
            yield started
