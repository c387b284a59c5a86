"""A directory with the host's files and a function that resolves a topology in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.model.record import ClusterSpec

from .files import settings_in, write_host_files

Load = Callable[[str], ClusterSpec]

TOPOLOGY = """\
cluster_name: lab
base_image: base.qcow2
network: {name: labnet, bridge: virbr-lab, subnet: 10.7.0.0/24}
nodes:
  - {name: a, vcpus: 1, memory_mb: 512, ip: 10.7.0.10}
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    write_host_files(tmp_path)
    return tmp_path


@pytest.fixture
def load(host: Path) -> Load:
    def load_text(text: str) -> ClusterSpec:
        path = host / "lab.yaml"
        path.write_text(text)
        return load_spec(path, settings_in(host))[1]

    return load_text
