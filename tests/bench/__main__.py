"""`python -m tests.bench [NAME…] [--json FILE]`: run the benches and print what they found as one table.

Runs in the lab (`python -m tests.lab --image-dir DIR -- python -m tests.bench`). Exits 1 where a bound is not kept.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from reconciler.frontends.cli.cli_logging import configure_logs
from reconciler.frontends.cli.options import LogOptions
from tests.bench import (
    artifacts,
    clones,
    definitions,
    guests,
    hosts,
    kernel_logs,
    links,
    page,
    planning,
    repairs,
    scale,
    startup,
    stores,
)
from tests.bench.figure import Figure

BENCHES: Mapping[str, Callable[[], Awaitable[Sequence[Figure]]]] = {
    "planning": planning.measure,
    "startup": startup.measure,
    "definitions": definitions.measure,
    "links": links.measure,
    "kernel_logs": kernel_logs.measure,
    "scale": scale.measure,
    "repairs": repairs.measure,
    "stores": stores.measure,
    "hosts": hosts.measure,
    "page": page.measure,
    "artifacts": artifacts.measure,
    "guests": guests.measure,
    "clones": clones.measure,
}


def main() -> int:
    """Run the named benches, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the figures are written")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHES.keys():
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    configure_logs(LogOptions())  # as the commands do: what is logged costs time
    figures = asyncio.run(_measured(arguments.names or list(BENCHES)))
    Console(width=150).print(_table(figures))
    arguments.json.write_text(json.dumps([_as_json(figure) for figure in figures], indent=2) + "\n")
    return 0 if all(figure.holds for figure in figures) else 1


async def _measured(names: Sequence[str]) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        print(f"bench: {name}", file=sys.stderr)
        figures += await BENCHES[name]()
    return figures


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(title="vmcluster bench (medians)")
    for column in ("what", "median", "range", "n", "bound", "baseline", "ratio", "kept"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for figure in figures:
        table.add_row(*_row(figure))
    return table


def _row(figure: Figure) -> list[str]:
    bounds = [f"{figure.limit:g} {figure.unit}" if figure.limit is not None else ""]
    bounds.append(f"{figure.limit_ratio:g} x" if figure.limit_ratio is not None else "")
    spread = "" if figure.lowest is None else f"{figure.lowest:.3g} to {figure.highest:.3g}"
    return [
        figure.name,
        f"{figure.value:.4g} {figure.unit}",
        spread,
        str(figure.samples),
        ", ".join(filter(None, bounds)),
        "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} {figure.reference}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "yes" if figure.holds else "NO",
    ]


def _as_json(figure: Figure) -> dict[str, object]:
    return {**asdict(figure), "ratio": figure.ratio, "holds": figure.holds}


if __name__ == "__main__":
    raise SystemExit(main())
