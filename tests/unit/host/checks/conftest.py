from pathlib import Path

import pytest

_LIST = Path(__file__).parents[4] / "specs" / "packages" / "debian.txt"


@pytest.fixture
def packages() -> set[str]:
    """The packages that `make setup` installs."""
    lines = (line.partition("#")[0].strip() for line in _LIST.read_text().splitlines())
    return {line for line in lines if line}
