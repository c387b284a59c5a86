"""What the server tells an agent about itself."""

INSTRUCTIONS = """\
Clusters of KVM/QEMU virtual machines on one Linux host. A topology file declares a cluster; the tools only change the
desired state, and a controller makes the host match it. So every call can be repeated without harm.

Workflow: cluster_define (creates machines, boots nothing) -> cluster_start (boots, waits for SSH) -> node_exec,
node_exec_all, node_crash, as often as you like -> cluster_stop -> cluster_destroy. cluster_apply is define and start in
one, also after an edit of the topology; cluster_plan shows beforehand what it would do. topology_list shows which
topologies there are; these three tools also take a topology as text, and topology_write keeps one. cluster_list and
cluster_status show the current state; poll cluster_status when a long call was interrupted: the work continues without
it. cluster_events shows what happened, cluster_history who changed what, and cluster_rollback takes it back.

For a command that takes longer than you can wait: job_start, then job_output now and then; job_status lists all.
Copies, images and work on artifacts go on when you stop waiting: call again for the answer.

image_list shows what a topology can name as base_image; image_build and image_pull get one.

For a clean start each time: snapshot_create with include_memory once all nodes are up, then after each experiment
snapshot_revert, which takes seconds and needs no boot. Snapshots may build on each other; snapshot_list shows them.

To test how a system behaves on a bad network: net_partition cuts groups of nodes off from each other, net_impair delays
or drops what a node sends; both survive reboots and last until net_heal or net_heal_all. node_exec works throughout.
fault_verify measures between the nodes whether the faults have their effect; fault_explain says what hits one link.

To try a build: artifact_register stores a tree; artifact_sync copies it to the nodes, sending only differences to an
earlier one there; artifact_install installs its modules or packages. Then take the snapshot.

Every answer is {success, result, error, next}; `next` is the next sensible call. If success is false, error has a code,
a message that says what failed, on which node and what to do, and `recoverable`: true means that the same call may
succeed later or after the remedy in the message; false means that the request itself has to change. `result` may then
still hold what is known.
- SSH_TIMEOUT: nodes boot slowly under emulation; call cluster_start again with a larger ssh_timeout_s. If the message
  says "no sign of life since its start", waiting does not help: check what the message names.
- PROVISIONING_FAILED: cloud-init reported errors; read /var/log/cloud-init-output.log with node_exec. The nodes run.
- APPROVAL_REQUIRED: read cluster_plan, ask your user, then call cluster_apply with allow_restart or allow_data_loss and
  with the plan_hash from cluster_plan, so that exactly what they approved is carried out.
- GUEST_PAUSED, GUEST_CRASHED: cluster_start resumes a paused node with its memory. One that cannot be resumed is
  kept until node_crash, or cluster_apply with allow_restart, reboots it; cluster_plan shows the whole recovery.
- CONFLICT: someone else changed the cluster, or something that vmcluster did not make is in the way; look, then call
  again.
- CLUSTER_NOT_FOUND: see cluster_list and topology_list; cluster_define creates one. CLUSTER_NOT_RUNNING: see its
  message.
- SNAPSHOT_NOT_FOUND, SNAPSHOT_LOST: see snapshot_list; a lost one can only be deleted. SNAPSHOT_EXISTS: use another
  name.
- FAULT_NOT_FOUND: see net_fault_list. HOST_CAPABILITY_MISSING: the message names what the host needs; tell your user.
- ARTIFACT_NOT_FOUND: see artifact_list; artifact_register creates one. ARTIFACT_NOT_SYNCED: call artifact_sync first.
- PARTIAL_FAILURE: `result` says what happened on each node; fix the cause and call again. What is done is skipped.
- OPERATION_FAILED: the host or a guest refused, for example because a disk is full: fix what the message names, then
  call again.
- LIBVIRT_UNAVAILABLE: tell your user that libvirtd does not answer, and what host_doctor says; the tools work again
  once it does.

`node` and `node_name`, `topology` and `topology_name`, `timeout_s` and `ssh_timeout_s`, `fault_handle` and `handle_id`
mean the same, and every tool takes either. cluster_plan, cluster_apply and cluster_define need no name with
topology_yaml.

A command's non-zero exit code is a result, not an error. Times are seconds. `nodes` is a name, names separated by
commas, or a list; "all", an empty list or nothing means every node. null means the same as leaving an argument out.
An answer has no fields that are null or empty by default, and no conditions that are as they should be;
`detail="full"` shows them, and the traces of kernel events. Answers are kept below 40 kB. `omitted` and
`…_omitted_bytes` say what was omitted between beginning and end, or, as `following`, after the last item; where a tool
has them, `offset`, `limit` and `answer_bytes` get the rest.
"""
