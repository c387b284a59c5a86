"""Commands that make pictures: a cluster as a graph, a node's screen."""

# ruff: noqa: PLC0415  imports wait until a command runs

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Cluster, Node
from reconciler.frontends.cli.output import narrate, quiet_pipe
from reconciler.frontends.cli.session import run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.graph import ClusterGraph
    from reconciler.model.screenshot import Screenshot

app = Commands()


class GraphFormat(StrEnum):
    """The languages that a graph can be drawn in."""

    TEXT = "text"
    SVG = "svg"
    MERMAID = "mermaid"
    DOT = "dot"


@app.command(examples=("graph lab", "graph lab -o svg >lab.svg"))
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


@app.command(examples=("screenshot lab n0 -o n0.png",))
def screenshot(
    cluster: Cluster,
    node: Node,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The PNG to write; - is standard output.")
    ],
) -> None:
    """Photograph a node's screen; it needs `video: true`."""

    async def work(use: UseCases) -> "Screenshot":
        from reconciler.usecases.screens import screenshot_of

        return await screenshot_of(use.runtime, cluster, node)

    taken = run_command(work)
    if output == Path("-"):
        with quiet_pipe():
            sys.stdout.buffer.write(taken.png)
        return
    try:
        output.write_bytes(taken.png)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}", param_hint="--output") from error
    narrate(f"{output}: {taken.width} by {taken.height} pixels")


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
