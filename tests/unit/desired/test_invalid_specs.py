"""Every file in `specs/invalid/` is refused with exactly the message beside it.

`VMCLUSTER_WRITE_EXPECTED=1 pytest` on this file rewrites the messages; review the diff afterwards.
"""

import os
import shutil
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.errors import ImageNotFound, TopologyInvalid

from .files import settings_in, write_host_files

INVALID = Path(__file__).parents[3] / "specs" / "invalid"
CASES = sorted(path.stem for path in INVALID.glob("*.yaml"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("invalid")
    write_host_files(directory)
    for path in INVALID.glob("*.yaml"):
        shutil.copy(path, directory)
    return directory


@pytest.mark.parametrize("case", CASES)
def test_an_invalid_topology_is_refused_with_the_message_beside_it(case: str, directory: Path) -> None:
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises((TopologyInvalid, ImageNotFound)) as refusal:
        load_spec(directory / f"{case}.yaml", settings_in(directory))
    message = f"{refusal.value.code}\n{refusal.value}".replace(f"{directory}/", "") + "\n"
    expected = INVALID / f"{case}.error"
    if os.environ.get("VMCLUSTER_WRITE_EXPECTED"):
        expected.write_text(message)
    assert message == expected.read_text()
    assert sorted(path.name for path in directory.iterdir()) == before


def test_every_expected_message_has_its_topology() -> None:
    assert sorted(path.stem for path in INVALID.glob("*.error")) == CASES
    assert len(CASES) > 25
