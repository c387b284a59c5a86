"""Chooses the table of a result by the type that its command returns."""

from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any

declared_type: ContextVar[str] = ContextVar("declared_type")
"""The return type of the running command, as its annotation has it."""

TABLES = {
    "ArtifactDiff": "artifact_tables:show_diff",
    "ArtifactRemoval": "artifact_tables:show_removal",
    "BuildArtifact": "artifact_tables:show_artifact",
    "BuiltImage": "image_tables:show_built",
    "BuiltTemplates": "template_commands:show_built_templates",
    "ClusterStatus": "tables:show_status",
    "ConsoleResult": "node_tables:show_console",
    "Examination": "doctor_command:show_examination",
    "FaultVerification": "fault_tables:show_verification",
    "ForgottenHost": "host_tables:show_forgotten",
    "Healed": "fault_tables:show_healed",
    "HostInfo": "host_tables:show_host",
    "ImageDetails": "image_tables:show_image_details",
    "InstallStatus": "artifact_tables:show_install",
    "Job": "node_tables:show_job",
    "JobOutput": "node_tables:show_job_output",
    "LinkExplanation": "fault_tables:show_explanation",
    "NetFaultHandle": "fault_tables:show_injected",
    "NodeStatus": "tables:show_node",
    "PlanView": "plan_text:show_plan",
    "PulledImage": "image_tables:show_pulled",
    "RemovedImages": "image_tables:show_removed_images",
    "RemovedTemplates": "template_commands:show_removed",
    "SnapshotDeleteResult": "snapshot_tables:show_deleted",
    "SnapshotInfo": "snapshot_tables:show_snapshot",
    "SnapshotTree": "snapshot_tables:show_tree",
    "StoreCopy": "store_commands:show_copied",
    "SyncStatus": "artifact_tables:show_sync",
    "TopologyFile": "topology_tables:show_topology",
    "TransferResult": "node_tables:show_transfer",
    "Unneeded": "snapshot_tables:show_unneeded",
    "Validation": "topology_tables:show_validation",
    "Verification": "snapshot_tables:show_snapshot_checks",
    "dict[str, DmesgResult]": "log_tables:show_collected",
    "dict[str, str]": "log_tables:show_marker",
    "list[BuildArtifact]": "artifact_tables:show_artifacts",
    "list[Change]": "tables:show_history",
    "list[ClusterEvent]": "event_lines:show_events",
    "list[ClusterStatus]": "tables:show_statuses",
    "list[ClusterSummary]": "tables:show_clusters",
    "list[HostInfo]": "host_tables:show_hosts",
    "list[Job]": "node_tables:show_jobs",
    "list[NamedImage]": "image_tables:show_images",
    "list[NetFaultInfo]": "fault_tables:show_faults",
    "list[NodeLoad]": "load_tables:show_loads",
    "list[SnapshotInfo]": "snapshot_tables:show_snapshots",
    "list[TemplateInfo]": "template_commands:show_templates",
    "list[TopologySummary]": "topology_tables:show_topologies",
}
"""Where the table of each type is; its module is imported when it is printed."""


def show_result(result: Any) -> None:
    """Print the result of the running command as a table."""
    table_of(declared_type.get(), type(result))(result)


def table_of(declared: str, of: type) -> Callable[[Any], None]:
    """The function that prints a result of class `of`, where the command is declared to return one or several types."""
    name = next(type_ for type_ in declared.split(" | ") if type_.partition("[")[0] == of.__name__)
    module, _, function = TABLES[name].partition(":")
    table: Callable[[Any], None] = getattr(import_module(f"{__package__}.{module}"), function)
    return table
