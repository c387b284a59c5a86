"""Commands that draw: a cluster as a graph."""

# ruff: noqa: PLC0415  imports wait until a command runs

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Cluster
from reconciler.frontends.cli.output import quiet_pipe
from reconciler.frontends.cli.session import run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.graph import ClusterGraph

app = Commands()


class GraphFormat(StrEnum):
    """The languages that a graph can be drawn in."""

    TEXT = "text"
    SVG = "svg"
    MERMAID = "mermaid"
    DOT = "dot"


@app.command()
def graph(
    cluster: Cluster,
    output: Annotated[
        GraphFormat, typer.Option("--output", "-o", help="For a terminal, a browser, Markdown, or Graphviz.")
    ] = GraphFormat.TEXT,
) -> None:
    """Draw a cluster: power and health of nodes, faults on links."""

    async def work(use: UseCases) -> "ClusterGraph":
        from reconciler.usecases.cluster_graph import cluster_graph

        return await cluster_graph(use.runtime, cluster)

    drawn = run_command(work)
    with quiet_pipe():
        sys.stdout.write(_rendered(drawn, output))


def _rendered(drawn: "ClusterGraph", output: GraphFormat) -> str:
    match output:
        case GraphFormat.TEXT:
            from reconciler.drawing.graph_text import render_text

            return render_text(drawn)
        case GraphFormat.SVG:
            from reconciler.drawing.graph_svg import render_svg

            return render_svg(drawn)
        case GraphFormat.MERMAID:
            from reconciler.drawing.graph_mermaid import render_mermaid

            return render_mermaid(drawn)
        case GraphFormat.DOT:
            from reconciler.drawing.graph_dot import render_dot

            return render_dot(drawn)
