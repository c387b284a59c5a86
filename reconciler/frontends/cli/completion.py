"""Names for shell completion. On any error there are no completions: a shell has no place to show one."""

# ruff: noqa: PLC0415  imports wait until a shell asks

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from reconciler.errors import ClusterError

if TYPE_CHECKING:
    from reconciler.runtime import Runtime


_JOBS_TIMEOUT_S = 3.0
"""For so long a shell may wait for nodes."""


def complete_cluster(incomplete: str) -> list[str]:
    """The clusters whose names start with the typed text."""
    return _beginning(incomplete, lambda runtime: runtime.store.names())


def complete_node(ctx: typer.Context, incomplete: str) -> list[str]:
    """The nodes of the cluster on the command line whose names start with the typed text."""

    async def nodes(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        return list(record.spec.nodes) if record else []

    return _beginning(incomplete, nodes)


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """The nodes, for the first word after a cluster; later words belong to the remote command."""
    return [] if ctx.params.get("words") else complete_node(ctx, incomplete)


def complete_nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The typed list of nodes, `a,b`, extended by each node that is not in it."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + node for node in complete_node(ctx, last) if node not in before.split(",")]


def complete_condition(incomplete: str) -> list[str]:
    """The conditions that `wait` accepts."""
    from reconciler.model.status import ConditionType
    from reconciler.usecases.wait_for_condition import DELETE

    return [name for name in (*(of.value for of in ConditionType), DELETE) if name.startswith(incomplete)]


def complete_snapshot(ctx: typer.Context, incomplete: str) -> list[str]:
    """The cluster's snapshots whose names, or names in the topology, start with the typed text."""

    async def snapshots(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        return [*record.snapshots, *record.spec.snapshot_names] if record else []

    return _beginning(incomplete, snapshots)


def complete_fault(ctx: typer.Context, incomplete: str) -> list[str]:
    """The cluster's faults whose handles, or names in the topology, start with the typed text."""

    async def faults(runtime: "Runtime") -> list[str]:
        record = await runtime.store.get(_cluster(ctx))
        if record is None:
            return []
        return [*record.faults, *(fault.declared_as for fault in record.faults.values() if fault.declared_as)]

    return _beginning(incomplete, faults)


def complete_job(ctx: typer.Context, incomplete: str) -> list[str]:
    """The jobs on the cluster's nodes whose IDs start with the typed text; none if a node does not answer at once."""

    async def jobs(runtime: "Runtime") -> list[str]:
        from reconciler.usecases.jobs import Jobs

        try:
            async with asyncio.timeout(_JOBS_TIMEOUT_S):
                found = await Jobs(runtime).status(_cluster(ctx))
        except ClusterError as error:
            found = error.partial or []
        return [job.job_id for job in found]

    return _beginning(incomplete, jobs)


def complete_published(incomplete: str) -> list[str]:
    """The published images whose names start with the typed text."""
    from reconciler.image.catalogue import CATALOGUE

    return [name for name in CATALOGUE if name.startswith(incomplete)]


def complete_image(incomplete: str) -> list[str]:
    """The images of this host whose names start with the typed text."""

    async def images(runtime: "Runtime") -> list[str]:
        from reconciler.desired.base_images import names_in

        return names_in(runtime.settings.image_dir)

    return _beginning(incomplete, images)


def complete_host(incomplete: str) -> list[str]:
    """The hosts of the store whose names start with the typed text."""

    async def hosts(runtime: "Runtime") -> list[str]:
        return list(await runtime.store.hosts())

    return _beginning(incomplete, hosts)


def complete_artifact(incomplete: str) -> list[str]:
    """The registered artifacts whose IDs start with the typed text."""

    async def artifacts(runtime: "Runtime") -> list[str]:
        from reconciler.usecases.build_trees import Artifacts

        return [artifact.artifact_id for artifact in await Artifacts(runtime).listing()]

    return _beginning(incomplete, artifacts)


def complete_template(incomplete: str) -> list[str]:
    """The templates on this host whose keys start with the typed text."""

    async def templates(runtime: "Runtime") -> list[str]:
        from reconciler.usecases.template_listing import list_templates

        return [of.key for of in await list_templates(runtime)]

    return _beginning(incomplete, templates)


def complete_topology(incomplete: str) -> list[str]:
    """The topologies in topology_dir whose names start with the typed text; the shell itself completes files."""

    from reconciler.desired.topology_files import topology_names

    async def topologies(runtime: "Runtime") -> list[str]:
        return topology_names(runtime.settings)

    return _beginning(incomplete, topologies)


def _cluster(ctx: typer.Context) -> str:
    """The first argument; found by hand, as Click parses no arguments while an option's value is being typed."""
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
