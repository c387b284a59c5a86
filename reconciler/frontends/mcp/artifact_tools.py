"""The tools for artifacts. As in `tools`, a docstring is a description for the agent that chooses among them."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.arguments import (
    ArtifactId,
    BuildTypeName,
    ClusterName,
    DestBase,
    InstallModeName,
    Metadata,
    Nodes,
    SourcePath,
    TransferTimeout,
)
from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import ADDS, LOOKS, TAKES_AWAY, ToolDefinition
from reconciler.model.choices import BuildType, InstallMode
from reconciler.model.results import (
    ArtifactDiff,
    ArtifactRemoval,
    BuildArtifact,
    InstallStatus,
    SyncStatus,
    ToolResult,
)


async def artifact_register(
    call: Call,
    source_path: SourcePath,
    build_type: BuildTypeName = "raw_tree",
    kernel_version: Annotated[
        str | None,
        Field(max_length=64, description="Default: read from the tree."),
    ] = None,
    metadata: Metadata = None,
) -> ToolResult[BuildArtifact]:
    """Store a copy of a build tree, under an ID derived from its content.

    The same tree has the same ID. `excluded` lists what cannot be stored, with the reason. CONFLICT: the tree changed
    meanwhile; wait for the build to finish.
    """
    return await settle(
        call,
        lambda use: use.artifacts.register(
            source_path, BuildType(build_type), kernel_version=kernel_version, metadata=metadata
        ),
    )


async def artifact_list(call: Call) -> ToolResult[list[BuildArtifact]]:
    """List the registered artifacts with their modules, programs, kernel version and commit. Contacts no node."""
    return await ask(call, lambda use: use.artifacts.listing())


async def artifact_diff(call: Call, artifact_id_a: ArtifactId, artifact_id_b: ArtifactId) -> ToolResult[ArtifactDiff]:
    """Compare two artifacts: modules and programs that were changed, added or removed, and the commits between."""
    return await ask(call, lambda use: use.artifacts.diff(artifact_id_a, artifact_id_b))


async def artifact_sync(
    call: Call,
    cluster_name: ClusterName,
    artifact_id: ArtifactId,
    nodes: Nodes = "all",
    force: Annotated[bool, Field(description="Compare and repair even a complete tree.")] = False,
    dest_base: DestBase = "/opt/vmcluster/artifacts",
    timeout_s: TransferTimeout = 3600,
) -> ToolResult[SyncStatus]:
    """Copy an artifact's tree to `dest_base`/id on the nodes, in parallel.

    Nodes where it is complete are skipped; only differences to an earlier artifact are sent. An incomplete tree never
    counts as complete: call again.
    """
    return await settle(
        call,
        lambda use: use.deployment.sync(
            cluster_name, artifact_id, nodes=nodes, force=force, dest_base=dest_base, timeout_s=timeout_s
        ),
    )


async def artifact_install(
    call: Call,
    cluster_name: ClusterName,
    artifact_id: ArtifactId,
    nodes: Nodes = "all",
    install_mode: InstallModeName = "modprobe_path",
    dest_base: DestBase = "/opt/vmcluster/artifacts",
    timeout_s: TransferTimeout = 600,
) -> ToolResult[InstallStatus]:
    """Install a synced artifact on the nodes.

    Modules are not loaded: run `modprobe` with node_exec_all. Reverting to an earlier snapshot undoes it.
    INVALID_ARGUMENT: a module is for another kernel; nothing was installed.
    """
    return await settle(
        call,
        lambda use: use.deployment.install(
            cluster_name,
            artifact_id,
            nodes=nodes,
            install_mode=InstallMode(install_mode),
            dest_base=dest_base,
            timeout_s=timeout_s,
        ),
    )


async def artifact_uninstall(
    call: Call,
    cluster_name: ClusterName,
    nodes: Nodes = "all",
    timeout_s: TransferTimeout = 600,
    forget: Annotated[
        bool, Field(description="Remove no files; only record that the artifact is not installed.")
    ] = False,
) -> ToolResult[InstallStatus]:
    """Remove what artifact_install put on the nodes. Loaded modules stay loaded, synced trees stay there."""
    return await settle(
        call, lambda use: use.deployment.uninstall(cluster_name, nodes=nodes, forget_only=forget, timeout_s=timeout_s)
    )


async def artifact_remove(call: Call, artifact_id: ArtifactId) -> ToolResult[ArtifactRemoval]:
    """Remove an artifact from the host and free its space. Nodes keep their copies."""
    return await ask(call, lambda use: use.artifacts.remove(artifact_id))


TOOLS = (
    ToolDefinition(artifact_register, "Register a build", ADDS, names_files=True),
    ToolDefinition(artifact_list, "List builds", LOOKS, (), "builds", measured=True),
    ToolDefinition(artifact_diff, "Compare two builds", LOOKS, measured=True),
    ToolDefinition(artifact_sync, "Copy a build to nodes", ADDS),
    ToolDefinition(artifact_install, "Install a build", TAKES_AWAY),
    ToolDefinition(artifact_uninstall, "Uninstall a build", TAKES_AWAY),
    ToolDefinition(artifact_remove, "Remove a build", TAKES_AWAY),
)
