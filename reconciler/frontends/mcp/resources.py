"""The resources: what clients may read without a tool, at `vmcluster://clusters/…`; each is JSON of a tool's answer."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mcp_types import Completion, Resource, ResourceTemplate
from pydantic_core import to_json

from reconciler.frontends.mcp.stdio_messages import as_text
from reconciler.model.viewed import View, Viewed

if TYPE_CHECKING:
    from reconciler.model.results import ToolResult
    from reconciler.usecases.application import UseCases

ROOT = "vmcluster://clusters"
JSON = "application/json"
_MOST_COMPLETIONS = 100
_LAST_LINES = 200
_LONGEST_URI = 1000

Read = Callable[["UseCases", Mapping[str, str]], Awaitable[Any]]


async def _clusters(use: "UseCases", _: Mapping[str, str]) -> Any:
    return await use.inspection.clusters()


async def _status(use: "UseCases", said: Mapping[str, str]) -> Any:
    return await use.inspection.status(said["cluster"])


async def _topology(use: "UseCases", said: Mapping[str, str]) -> Any:
    return await use.topologies.show(said["cluster"])


async def _plan(use: "UseCases", said: Mapping[str, str]) -> Any:
    from reconciler.desired.topology_text import TopologyName  # noqa: PLC0415
    from reconciler.records.plan_view import plan_view  # noqa: PLC0415

    return plan_view(await use.clusters.plan(TopologyName(said["cluster"]), start=True))


async def _events(use: "UseCases", said: Mapping[str, str]) -> Any:
    from reconciler.usecases.cluster_events import events_of  # noqa: PLC0415

    return await events_of(use.runtime, said["cluster"], after=0)


async def _graph(use: "UseCases", said: Mapping[str, str]) -> str:
    from reconciler.drawing.graph_svg import render_svg  # noqa: PLC0415
    from reconciler.usecases.cluster_graph import cluster_graph  # noqa: PLC0415

    return render_svg(await cluster_graph(use.runtime, said["cluster"]))


async def _faults(use: "UseCases", said: Mapping[str, str]) -> Any:
    return await use.faults.listing(said["cluster"])


async def _console(use: "UseCases", said: Mapping[str, str]) -> Any:
    return await use.consoles.show(said["cluster"], said["node"], tail=_LAST_LINES, since_marker=None, follow_s=0)


@dataclass(frozen=True, slots=True)
class ResourceReader:
    """How a resource is read, and the tool that answers the same: where that is switched off, so is the resource.

    What is read is the result of a use case, shown as JSON, or text of another type.
    """

    title: str
    tool: str
    read: Read
    view: View
    mime_type: str = JSON


_ALL = ResourceReader("Clusters", "cluster_list", _clusters, View.CLUSTERS)
_READERS = {
    "status": ResourceReader("State of a cluster and its nodes", "cluster_status", _status, View.STATUS),
    "topology": ResourceReader("Topology of that name, with its problems", "topology_show", _topology, View.TOPOLOGY),
    "plan": ResourceReader("What an apply of the topology of that name would do", "cluster_plan", _plan, View.PLAN),
    "events": ResourceReader("What happened in a cluster", "cluster_events", _events, View.EVENTS),
    "faults": ResourceReader("Network faults of a cluster", "net_fault_list", _faults, View.FAULTS),
    "graph.svg": ResourceReader(
        "Picture of a cluster: power, health, faults on links", "cluster_status", _graph, View.STATUS, "image/svg+xml"
    ),
    "console/{node}": ResourceReader("End of a node's serial console", "node_console", _console, View.CONSOLE),
}

RESOURCES = [Resource(name="clusters", title=_ALL.title, uri=ROOT, mime_type=JSON)]


def templates(offered: Container[str]) -> list[ResourceTemplate]:
    """The templates of the resources whose tools are offered."""
    return [
        ResourceTemplate(
            name=name.partition("/")[0],
            title=reader.title,
            uri_template=f"{ROOT}/{{cluster}}/{name}",
            mime_type=reader.mime_type,
        )
        for name, reader in _READERS.items()
        if reader.tool in offered
    ]


def viewed_at(uri: str, offered: Container[str]) -> Viewed | None:
    """What a resource shows, for whom it may change; None if there is no such resource."""
    found = reader_of(uri) if len(uri) <= _LONGEST_URI else None
    if found is None or found[0].tool not in offered:
        return None
    reader, names = found
    return Viewed(reader.view, **names)


def reader_of(uri: str) -> tuple[ResourceReader, dict[str, str]] | None:
    """How to read a resource, and the names in its URI; None if there is no such resource."""
    if uri == ROOT:
        return _ALL, {}
    parts = [unquote(part) for part in uri.removeprefix(f"{ROOT}/").split("/")]
    if not uri.startswith(f"{ROOT}/") or not all(parts):
        return None
    match parts:
        case [cluster, "console", node]:
            return _READERS["console/{node}"], {"cluster": cluster, "node": node}
        case [cluster, name] if name in _READERS and "/" not in name:
            return _READERS[name], {"cluster": cluster}
        case _:
            return None


async def content_of(answer: "ToolResult[Any]") -> str:
    """The answer of a resource as text."""
    return answer.result if isinstance(answer.result, str) else await asyncio.to_thread(_content_of, answer)


def _content_of(answer: "ToolResult[Any]") -> str:
    from reconciler.frontends.mcp.answer_limits import Extent, abridged  # noqa: PLC0415
    from reconciler.frontends.mcp.brief import brief, without_empty_counts  # noqa: PLC0415  the models of all answers

    dumped = brief(answer.result, as_text(answer.model_dump(mode="json"))["result"])
    cut = abridged({"success": True, "result": dumped, "error": None}, Extent())
    return to_json(without_empty_counts(cut["result"]), inf_nan_mode="null").decode()


async def names_for(use: "UseCases", argument: str, cluster: str | None) -> list[str]:
    """What an argument of a template or a prompt may be."""
    match argument:
        case "cluster" | "cluster_name":
            return [of.cluster_name for of in await use.inspection.clusters()]
        case "topology":
            return [of.name for of in await use.topologies.listing()]
        case "node":
            known = await use.inspection.clusters()
            return sorted({node.name for of in known if cluster in {None, of.cluster_name} for node in of.nodes})
        case "snapshot":
            return [of.snapshot_name for of in await use.snapshots.listing(cluster)] if cluster else []
        case "artifact" | "artifact_id":
            return [of.artifact_id for of in await use.artifacts.listing()]
        case _:
            return []


def completion(names: list[str], typed: str) -> Completion:
    """Those names that begin with what is typed."""
    fitting = [name for name in dict.fromkeys(names) if name.startswith(typed)]
    return Completion(values=fitting[:_MOST_COMPLETIONS], total=len(fitting), has_more=len(fitting) > _MOST_COMPLETIONS)
