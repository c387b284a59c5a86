"""What an agent is told about the server as a whole."""

INSTRUCTIONS = """\
Clusters of KVM/QEMU virtual machines on one Linux host. A topology file declares a cluster; the tools only change what
is wanted, and a controller makes the host match it. So every call can be repeated without harm.

Workflow: cluster_define (makes machines, nothing boots) -> cluster_start (boots, waits for SSH) -> node_exec,
node_exec_all, node_crash, as often as you like -> cluster_stop -> cluster_destroy. cluster_apply is define and start in
one, also after an edit of the topology; cluster_plan shows beforehand what that would do. cluster_list and
cluster_status say what there is; poll cluster_status when a long call was interrupted: the work goes on without it.

For a clean start each time: snapshot_create with include_memory once all nodes are up, then after each experiment
snapshot_revert, which takes seconds and needs no boot. Snapshots may stand on each other; snapshot_list knows them.

To test what a network can do to a system: net_partition cuts groups of nodes off from each other, net_impair delays or
loses what a node sends; both hold over reboots until net_heal or net_heal_all, and node_exec works throughout.

To try a build: artifact_register keeps a tree; artifact_sync brings it to the nodes, only what differs from an earlier
one there; artifact_install makes the kernel find its modules, or installs its packages. Then take the snapshot.

Every answer is {success, result, error}. Where success is false, error has a code, a message that says what failed, on
which node and what to do, and `recoverable`: true means that the same call may succeed later or after the remedy in the
message; false means that the request itself has to change. `result` may then still hold what is known.
- SSH_TIMEOUT: nodes boot slowly under emulation; call cluster_start again with a larger ssh_timeout_s. Of a node with
  "no sign of life since its start" waiting mends nothing: look at what the message names.
- PROVISIONING_FAILED: cloud-init reported errors; node_exec reads /var/log/cloud-init-output.log. The nodes run.
- APPROVAL_REQUIRED: read cluster_plan, ask your user, then cluster_apply with allow_restart or allow_data_loss, and
  with the plan_hash that cluster_plan answered, so that what they agreed to is what is done.
- GUEST_PAUSED, GUEST_CRASHED: cluster_start lets a paused node run on with its memory. One that cannot run on is kept
  as it is until node_crash, or cluster_apply with allow_restart, boots it; cluster_plan shows the whole way back.
- CONFLICT: somebody else changed the cluster, or a thing that is not ours is in the way; look, then call again.
- CLUSTER_NOT_FOUND: cluster_list; cluster_define makes it. CLUSTER_NOT_RUNNING: what its message says.
- SNAPSHOT_NOT_FOUND, SNAPSHOT_LOST: snapshot_list; a lost one can only be deleted. SNAPSHOT_EXISTS: take another name.
- FAULT_NOT_FOUND: net_fault_list. HOST_CAPABILITY_MISSING: the message names what the host needs; tell your user.
- ARTIFACT_NOT_FOUND: artifact_list; artifact_register makes one. ARTIFACT_NOT_SYNCED: artifact_sync, then again.
- PARTIAL_FAILURE: `result` says of each node how it went; call again once the cause is gone, what is done is skipped.
- OPERATION_FAILED: host or guest refused, as a full disk does: have mended what the message names, then call again.
- LIBVIRT_UNAVAILABLE: tell your user that libvirtd does not answer; the tools work again once it does.
A command's non-zero exit code is a result, not an error. Times are seconds. `nodes` is a name, names with commas,
or a list; "all", an empty list or nothing means every node. null says no more than leaving an argument out.
Answers are kept below 40 kB. `omitted` and `…_omitted_bytes` say what was left out between beginning and end, or, as
`following`, after the last item; `offset`, `limit` and `answer_bytes` get the rest where a tool has them."""
