"""What a server offers and when it asks first, chosen when it is started: options, then environment, then file."""

import os
from contextlib import suppress
from dataclasses import dataclass

from mcp_types import Tool

from reconciler.files.configuration_files import configuration_paths
from reconciler.frontends.mcp.server_options import Options
from reconciler.model.choices import Confirmation, Toolset

_KEYS = "mcp_"
_MOST_BYTES = 4 * 1024 * 1024


ALWAYS = frozenset({"cluster_list", "cluster_status"})
"""In every toolset: nothing can be done without knowing the clusters and their nodes."""

_TOOLS = {
    Toolset.LIFECYCLE: "topology_list topology_show topology_write cluster_plan cluster_define cluster_apply "
    "cluster_start cluster_restart cluster_handle cluster_stop cluster_destroy cluster_rollback_plan cluster_rollback "
    "cluster_adopt cluster_wait node_crash image_list image_build image_pull",
    Toolset.EXEC: "cluster_handle node_exec node_exec_all job_start job_status job_output job_stop node_push node_pull",
    Toolset.SNAPSHOT: "snapshot_create snapshot_list snapshot_tree snapshot_revert snapshot_delete cluster_fork",
    Toolset.ARTIFACT: "artifact_register artifact_list artifact_diff artifact_sync artifact_install artifact_uninstall "
    "artifact_remove",
    Toolset.FAULT: "node_crash net_partition net_impair net_heal net_heal_all net_fault_list fault_explain "
    "fault_verify",
    Toolset.OBSERVE: "topology_list topology_show cluster_plan cluster_handle cluster_events cluster_history "
    "cluster_wait snapshot_list snapshot_tree net_fault_list node_console node_screenshot dmesg_mark dmesg_collect "
    "image_list host_doctor host_list host_show",
}
TOOLS_OF = {toolset: ALWAYS.union(names.split()) for toolset, names in _TOOLS.items()}


@dataclass(frozen=True, slots=True)
class Mode:
    """Which tools are offered, and which of them need the user's word; by default all, and none."""

    read_only: bool = False
    toolsets: frozenset[Toolset] | None = None
    confirm: Confirmation = Confirmation.NEVER

    def offers(self, tool: Tool) -> bool:
        """Whether clients see a tool and may call it."""
        return self.refusal(tool) is None

    def refusal(self, tool: Tool) -> str | None:
        """Why a tool is not offered; None if it is."""
        if self.read_only and not (tool.annotations and tool.annotations.read_only_hint):
            return "this server is read-only (started with `--read-only` or `mcp_read_only`)"
        if self.toolsets is not None and not any(tool.name in TOOLS_OF[of] for of in self.toolsets):
            return f"this server offers the toolsets {self._names()} only (`--toolsets` or `mcp_toolsets`)"
        return None

    def asks_before(self, tool: Tool) -> bool:
        """Whether the user has to confirm each call of a tool."""
        return self.confirm is Confirmation.DESTRUCTIVE and bool(tool.annotations and tool.annotations.destructive_hint)

    def in_words(self) -> str:
        """What an agent needs to know of it; empty for the mode without limits."""
        limits = [
            "only tools that change nothing" if self.read_only else "",
            f"only the toolsets {self._names()}" if self.toolsets is not None else "",
        ]
        offered = " and ".join(filter(None, limits))
        asks = "Each call of a destructive tool needs your user's confirmation, which the server asks for itself."
        return "\n".join(
            [
                *([f"This server offers {offered}; others that are named here are switched off."] if offered else []),
                *([asks] if self.confirm is Confirmation.DESTRUCTIVE else []),
            ]
        )

    def _names(self) -> str:
        return ", ".join(of.value for of in Toolset if of in (self.toolsets or ()))


def chosen_mode(options: Options) -> Mode:
    """The mode that options choose, else the environment and the configuration. Raises `ConfigurationInvalid`."""
    mode = _configured_mode()
    return Mode(
        read_only=mode.read_only or options.read_only,
        toolsets=mode.toolsets if options.toolsets is None else options.toolsets,
        confirm=mode.confirm if options.confirm is None else options.confirm,
    )


def _configured_mode() -> Mode:
    """The mode of environment and configuration file.

    They are only read if they may say something of it: that takes a tenth of the server's start.
    """
    if not _may_be_configured():
        return Mode()
    from reconciler.settings import load_settings  # noqa: PLC0415  imports YAML

    settings = load_settings()
    toolsets = None if settings.mcp_toolsets is None else frozenset(settings.mcp_toolsets)
    return Mode(settings.mcp_read_only, toolsets, settings.mcp_confirm)


def _may_be_configured() -> bool:
    """Also true for a file in which the keys could be spelled with escapes or in another encoding."""
    if any(name.startswith(f"VMCLUSTER_{_KEYS.upper()}") for name in os.environ):
        return True
    signs = (_KEYS.encode(), b"\\", b"\0")
    for path in configuration_paths():
        with suppress(OSError), path.open("rb") as file:
            content = file.read(_MOST_BYTES)
            if any(sign in content for sign in signs):
                return True
    return False
