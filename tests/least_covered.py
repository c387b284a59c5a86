"""What the unit tests leave out: `python -m tests.least_covered COVERAGE.json`, after `coverage json`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHOWN = 10


def lines(measured: dict[str, Any]) -> Iterator[str]:
    """The total, and the modules of which the smallest part is run, the least covered first."""
    totals, modules = measured["totals"], measured["files"].items()
    yield f"coverage of {len(modules)} modules: {_share(totals)}"
    least = sorted((of["summary"]["percent_covered"], name, of["summary"]) for name, of in modules)
    yield from (f"  {_share(summary)}  {name}" for _, name, summary in least[:SHOWN])


def _share(summary: dict[str, Any]) -> str:
    return f"{summary['percent_covered']:5.1f} % of {summary['num_statements']} statements"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
