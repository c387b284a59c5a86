"""Names for shell completion. What cannot be read completes to nothing: a shell has no place for errors."""

# ruff: noqa: PLC0415  imports wait until a shell asks

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from reconciler.errors import ClusterError

if TYPE_CHECKING:
    from reconciler.runtime import Runtime


def complete_cluster(incomplete: str) -> list[str]:
    """The clusters whose names begin so."""
    return _beginning(incomplete, lambda runtime: runtime.store.names())


def complete_node(ctx: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the cluster on the command line whose names begin so."""

    async def nodes(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        return list(record.spec.nodes) if record else []

    return _beginning(incomplete, nodes)


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the first of the words after a cluster, its nodes; the others are a command's."""
    return [] if ctx.params.get("words") else complete_node(ctx, incomplete)


def complete_nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Lists of nodes, `a,b`, with one more node that is not in them."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + node for node in complete_node(ctx, last) if node not in before.split(",")]


def complete_condition(incomplete: str) -> list[str]:
    """What can be waited for."""
    from reconciler.model.status import ConditionType
    from reconciler.usecases.waiting_for import DELETE

    return [name for name in (*(of.value for of in ConditionType), DELETE) if name.startswith(incomplete)]


def complete_snapshot(ctx: typer.Context, incomplete: str) -> list[str]:
    """The snapshots of the cluster on the command line whose names begin so, by the topology's names for them too."""

    async def snapshots(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        return [*record.snapshots, *record.spec.snapshot_names] if record else []

    return _beginning(incomplete, snapshots)


def complete_fault(ctx: typer.Context, incomplete: str) -> list[str]:
    """The faults of the cluster on the command line whose handles begin so, by the topology's names for them too."""

    async def faults(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        if record is None:
            return []
        return [*record.faults, *(fault.declared_as for fault in record.faults.values() if fault.declared_as)]

    return _beginning(incomplete, faults)


def complete_artifact(incomplete: str) -> list[str]:
    """The registered artifacts whose ids begin so."""

    async def artifacts(runtime: "Runtime") -> list[str]:
        from reconciler.usecases.artifacts import Artifacts

        return [artifact.artifact_id for artifact in await Artifacts(runtime).listing()]

    return _beginning(incomplete, artifacts)


def complete_topology(incomplete: str) -> list[str]:
    """The topologies in topology_dir whose names begin so; files are the shell's own to complete."""

    from reconciler.desired.find import topology_names

    async def topologies(runtime: "Runtime") -> list[str]:
        return topology_names(runtime.settings)

    return _beginning(incomplete, topologies)


def _cluster(ctx: typer.Context) -> str:
    """The first argument; beside an option whose value is being typed, Click takes none for an argument."""
    return ctx.params.get("cluster") or next(iter(ctx.args), "")


def _beginning(incomplete: str, names: "Callable[[Runtime], Awaitable[list[str]]]") -> list[str]:
    from reconciler.runtime import Runtime
    from reconciler.settings import load_settings

    async def ask() -> list[str]:
        async with Runtime(load_settings()) as runtime:
            return await names(runtime)

    try:
        return sorted(name for name in asyncio.run(ask()) if name.startswith(incomplete))
    except (ClusterError, OSError):
        return []
