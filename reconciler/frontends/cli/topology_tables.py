"""Prints topologies and their problems."""

from collections.abc import Sequence

import typer

from reconciler.frontends.cli.tables import print_columns
from reconciler.frontends.cli.text import printable
from reconciler.model.topology_file import TopologyFile, TopologySummary
from reconciler.usecases.validation import Validation


def show_topologies(found: Sequence[TopologySummary]) -> None:
    """The topologies that have a name, each with its first problem."""
    rows = [(of.name, of.problem) for of in found]
    print_columns(["NAME", "PROBLEM"], rows, empty="no topologies: they are the files `NAME.yaml` in `topology_dir`")


def show_topology(found: TopologyFile) -> None:
    """The text of a topology as it is."""
    typer.echo(found.yaml, nl=False)


def show_validation(found: Validation) -> None:
    """The problems of a topology, each with its place, as a compiler prints them."""
    for of in found.problems:
        where = f"{of.path}: " if of.path else ""
        typer.echo(printable(f"{found.file}:{of.line}:{of.column}: {where}{of.message}"))
    if found.valid:
        typer.echo(printable(f"{found.file}: valid"))
