"""The requirements of a run with the lowest versions that pyproject.toml allows: `python -m tests.lowest`.

What it needs itself comes in its lowest version; what those need, and what tests need, as pip finds it fit.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
TEST_TOOLS = ("hypothesis", "jsonschema", "playwright", "pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist")
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+),<[0-9.]+")


def requirements(project: str) -> Iterator[str]:
    """One line for each dependency. Raises `ValueError` for one without both bounds."""
    declared = tomllib.loads(project)["project"]
    extras = declared.get("optional-dependencies", {})
    for dependency in (*declared["dependencies"], *(of for extra in extras.values() for of in extra)):
        if (bound := _BOUND.fullmatch(dependency)) is None:
            raise ValueError(f"{dependency!r} has no lower and upper bound")
        yield f"{bound[1]}=={bound[2]}"
    yield from TEST_TOOLS


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in requirements(PROJECT.read_text(encoding="utf-8")))
