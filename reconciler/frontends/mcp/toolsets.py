"""Which tools belong to which toolset. Pure."""

from reconciler.model.choices import Toolset

ALWAYS = frozenset({"cluster_list", "cluster_status"})
"""In every toolset: nothing can be done without knowing the clusters and their nodes."""

_TOOLS = {
    Toolset.LIFECYCLE: "topology_list topology_show topology_write cluster_plan cluster_define cluster_apply "
    "cluster_start cluster_restart cluster_handle cluster_stop cluster_destroy cluster_rollback_plan cluster_rollback "
    "cluster_adopt cluster_wait node_crash",
    Toolset.EXEC: "cluster_handle node_exec node_exec_all job_start job_status job_output job_stop node_push node_pull",
    Toolset.SNAPSHOT: "snapshot_create snapshot_list snapshot_tree snapshot_revert snapshot_delete",
    Toolset.ARTIFACT: "artifact_register artifact_list artifact_diff artifact_sync artifact_install artifact_uninstall "
    "artifact_remove",
    Toolset.FAULT: "node_crash net_partition net_impair net_heal net_heal_all net_fault_list fault_explain "
    "fault_verify",
    Toolset.OBSERVE: "topology_list topology_show cluster_plan cluster_handle cluster_events cluster_history "
    "cluster_wait snapshot_list snapshot_tree net_fault_list node_console dmesg_mark dmesg_collect host_doctor "
    "host_list host_show",
}
TOOLS_OF = {toolset: ALWAYS.union(names.split()) for toolset, names in _TOOLS.items()}
