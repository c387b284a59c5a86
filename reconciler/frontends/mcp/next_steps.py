"""The next sensible call after an answer, as a tool with its arguments; the command line says the same. Pure."""

import json
import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from reconciler.error_codes import ErrorCode
from reconciler.frontends.mcp.listed_tools import listed_tools

Arguments = Mapping[str, Any]

_CORRECT = "correct what the message names, then call it again"
_EVERYTHING_READS = "cluster_status({cluster_name})"
_WHEN_FAULTS_ENDED = "cluster_events({cluster_name}) shows when faults expired or were healed"
_WHAT_USES_IMAGES = "topology_list() or topology_write(topology=…, topology_yaml=…)"
_AFTER_ERRORS = {
    ErrorCode.TOPOLOGY_NOT_FOUND: "topology_list()",
    ErrorCode.CLUSTER_NOT_FOUND: "cluster_list()",
    ErrorCode.CLUSTER_NOT_RUNNING: "cluster_start({cluster_name})",
    ErrorCode.NODE_NOT_FOUND: _EVERYTHING_READS,
    ErrorCode.IMAGE_NOT_FOUND: "image_list()",
    ErrorCode.HOST_NOT_FOUND: "host_list()",
    ErrorCode.SSH_TIMEOUT: "cluster_start({cluster_name}, ssh_timeout_s=300) to wait longer",
    ErrorCode.SSH_ERROR: "node_console({cluster_name}, {node_name})",
    ErrorCode.SNAPSHOT_NOT_FOUND: "snapshot_list({cluster_name})",
    ErrorCode.SNAPSHOT_LOST: "snapshot_list({cluster_name})",
    ErrorCode.ARTIFACT_NOT_FOUND: "artifact_list()",
    ErrorCode.ARTIFACT_NOT_SYNCED: "artifact_sync({cluster_name}, {artifact_id})",
    ErrorCode.FAULT_NOT_FOUND: "net_fault_list({cluster_name})",
    ErrorCode.HOST_CAPABILITY_MISSING: "host_doctor()",
    ErrorCode.LIBVIRT_UNAVAILABLE: "host_doctor()",
    ErrorCode.HOST_LOST: "host_list()",
    ErrorCode.PROVISIONING_FAILED: "node_exec({cluster_name}, {node_name}, "
    'command="tail -n 50 /var/log/cloud-init-output.log")',
    ErrorCode.GUEST_PAUSED: "cluster_start({cluster_name})",
    ErrorCode.GUEST_CRASHED: "dmesg_collect({cluster_name}), then node_crash({cluster_name}, {node}) to reboot it",
    ErrorCode.APPROVAL_REQUIRED: "ask your user",
    ErrorCode.CONFLICT: _EVERYTHING_READS,
    ErrorCode.TIMEOUT: _EVERYTHING_READS,
    ErrorCode.INTERNAL_ERROR: "tell your user: this is a defect of vmcluster",
}


def next_step(tool: str, arguments: Arguments, answer: Mapping[str, Any], offered: Container[str] | None = None) -> str:
    """The step after an answer, which is given as data; arguments that nobody knows are left to the caller.

    A step that names a tool which is not `offered` is replaced by a look at the cluster, which always is.
    """
    known = {**arguments, "cluster_name": _cluster(arguments, answer.get("result"))}
    step = _step(tool, arguments, answer)
    if offered is not None and any(name not in offered for name in re.findall(r"(\w+)\(", step)):
        return _filled(_EVERYTHING_READS if known["cluster_name"] else "cluster_list()", known)
    return step


def naming_switched_off(message: str, offered: Container[str] | None) -> str:
    """A message that also says which of the tools that it names are not `offered`, so that nobody looks for them."""
    words = () if offered is None else dict.fromkeys(re.findall(r"\w+", message))
    missing = [word for word in words if word in listed_tools() and word not in (offered or ())]
    return f"{message}; switched off on this server: {', '.join(missing)}: ask your user" if missing else message


def _step(tool: str, arguments: Arguments, answer: Mapping[str, Any]) -> str:
    known = {**arguments, "cluster_name": _cluster(arguments, answer.get("result"))}
    if "topology_name" in known:
        known["topology"] = known["topology_name"]
    if error := answer.get("error"):
        named = {**known, "node": error["node"], "node_name": known.get("node_name") or error["node"]}
        asking = error["code"] == ErrorCode.APPROVAL_REQUIRED and _before_asking(tool, known)
        return _filled(asking or _AFTER_ERRORS.get(ErrorCode(error["code"]), _CORRECT), named)
    step = _AFTER.get(tool, _EVERYTHING_READS)
    return _filled(step if isinstance(step, str) else step(answer["result"], known), known)


def _cluster(arguments: Arguments, result: Any) -> Any:
    return arguments.get("cluster_name") or (result.get("cluster_name") if isinstance(result, dict) else None)


def _filled(step: str, known: Arguments) -> str:
    """A step in which `{name}` stands for an argument with its value."""
    return step.format_map(_Calls(known))


class _Calls(dict[str, Any]):
    """Arguments as they are written in a call."""

    def __init__(self, known: Arguments) -> None:
        super().__init__({name: f"{name}={json.dumps(of)}" for name, of in known.items() if of is not None})

    def __missing__(self, name: str) -> str:
        return f"{name}=…"


def _after_status(result: Any, known: Arguments) -> str:
    nodes = [result] if "domain_state" in result else result["nodes"]
    of = {state: [node for node in nodes if node["domain_state"] == state] for state in ("crashed", "paused")}
    if of["crashed"]:
        return f"dmesg_collect({{cluster_name}}), then {_reboot(of['crashed'][0]['name'])}"
    if any(condition["status"] == "False" for node in nodes for condition in node.get("conditions") or ()):
        return "dmesg_collect({cluster_name})" if not of["paused"] else "cluster_start({cluster_name})"
    reachable = [node["name"] for node in nodes if node["ssh_reachable"]]
    if of["paused"] or not reachable:
        return "cluster_start({cluster_name})"
    return f'node_exec({{cluster_name}}, node_name={json.dumps(reachable[-1])}, command="uname -r")'


def _reboot(node: str) -> str:
    return f"node_crash({{cluster_name}}, node={json.dumps(node)}) to reboot it"


def _after_revert(result: Any, known: Arguments) -> str:
    if result.get("faults_in_force"):
        return "net_heal_all({cluster_name}) ends the network faults, which are still in force"
    return _after_status(result, known)


def _after_destroy(result: Any, known: Arguments) -> str:
    return "cluster_define(topology_name=…) uses the kept disks again" if result.get("disks_kept") else "cluster_list()"


def _topology(known: Arguments) -> str:
    """The argument for the topology of a call; text is not repeated."""
    return "topology_yaml=…" if known.get("topology_yaml") else "{topology}"


def _before_asking(tool: str, known: Arguments) -> str:
    """What shows the costs that the user is asked to approve."""
    if tool in {"cluster_apply", "cluster_define"}:
        return f"cluster_plan({_topology(known)}) shows what to ask your user"
    return "cluster_rollback_plan({cluster_name}) shows what to ask your user" if tool == "cluster_rollback" else ""


def _after_plan(result: Any, known: Arguments) -> str:
    if result["converged"]:
        return "nothing to do"
    if result["blocked"] and not result.get("approvals"):
        return "remove the obstacles first"
    tool = "cluster_rollback({cluster_name}" if "topology" not in known else f"cluster_apply({_topology(known)}"
    agreed = "".join(f", {name}=true" for name in result.get("approvals") or ())
    asked = " once your user agrees" if agreed else ""
    return f"{tool}{agreed}, plan_hash={json.dumps(result['plan_hash'])}){asked}"


def _after_exec(result: Any, known: Arguments) -> str:
    if result.get("kernel_event"):
        return "dmesg_collect({cluster_name}): the kernel reported a problem meanwhile"
    if result["timed_out"]:
        return "job_start({cluster_name}, {node_name}, {command}), which has no time limit"
    return "dmesg_collect({cluster_name}) to see what the kernel said"


def _after_exec_all(result: Any, known: Arguments) -> str:
    if any(of.get("kernel_event") for of in result["results"].values()):
        return "dmesg_collect({cluster_name}): a kernel reported a problem meanwhile"
    if failed := result["failed_nodes"]:
        return f"node_exec({{cluster_name}}, node_name={json.dumps(failed[0])}, command=…) to find out why it failed"
    return "dmesg_collect({cluster_name}) to see what the kernels said"


def _after_topologies(result: Any, known: Arguments) -> str:
    usable = [of["name"] for of in result if of["valid"]]
    if usable:
        return f"cluster_plan(topology={json.dumps(usable[0])})"
    return "topology_write(topology=…, topology_yaml=…)" if not result else _show_topology(result[0]["name"])


def _show_topology(name: str) -> str:
    return f"topology_show(topology={json.dumps(name)})"


def _after_topology(result: Any, known: Arguments) -> str:
    if result["problems"]:
        return "topology_write({topology}, topology_yaml=…, replace=true) without the problems"
    return "cluster_plan({topology})"


def _after_clusters(result: Any, known: Arguments) -> str:
    return f"cluster_status(cluster_name={json.dumps(result[0]['cluster_name'])})" if result else "topology_list()"


def _after_snapshots(result: Any, known: Arguments) -> str:
    usable = [of["snapshot_name"] for of in result if not of.get("lost")]
    if usable:
        return f"snapshot_revert({{cluster_name}}, snapshot_name={json.dumps(usable[-1])})"
    return "snapshot_create({cluster_name}, snapshot_name=…, include_memory=true)"


def _after_snapshot_tree(result: Any, known: Arguments) -> str:
    return _after_snapshots(result["snapshots"], known)


def _after_kernel_logs(result: Any, known: Arguments) -> str:
    if dead := [node for node, of in result.items() if of["panic_detected"]]:
        return _reboot(dead[0])
    if any(of["oops_detected"] for of in result.values()):
        return (
            "snapshot_revert({cluster_name}, snapshot_name=…) or node_crash({cluster_name}, node=…) for a clean kernel"
        )
    return "dmesg_mark({cluster_name}) before the next test"


def _after_job(result: Any, known: Arguments) -> str:
    job = result.get("job", result)
    if job["state"] == "running":
        offset = f", from_byte={result['next_offset']}" if "next_offset" in result else ""
        return f"job_output({{cluster_name}}, job_id={json.dumps(job['job_id'])}{offset}) in a while"
    return "dmesg_collect({cluster_name}) to see what the kernel said"


def _after_jobs(result: Any, known: Arguments) -> str:
    return f"job_output({{cluster_name}}, job_id={json.dumps(result[-1]['job_id'])})" if result else _EVERYTHING_READS


def _after_builds(result: Any, known: Arguments) -> str:
    if not result:
        return "artifact_register(source_path=…)"
    return f"artifact_sync(cluster_name=…, artifact_id={json.dumps(result[-1]['artifact_id'])})"


def _after_images(result: Any, known: Arguments) -> str:
    return _WHAT_USES_IMAGES if result else "image_build() or image_pull(image=…)"


def _after_registration(result: Any, known: Arguments) -> str:
    return f"artifact_sync(cluster_name=…, artifact_id={json.dumps(result['artifact_id'])})"


def _after_fault(result: Any, known: Arguments) -> str:
    heal = f"net_heal({{cluster_name}}, fault_handle={json.dumps(result['handle_id'])})"
    return f"fault_verify({{cluster_name}}); {heal} ends it"


def _after_faults(result: Any, known: Arguments) -> str:
    return "net_heal_all({cluster_name}) ends them" if result else _WHEN_FAULTS_ENDED


def _after_verification(result: Any, known: Arguments) -> str:
    wrong = next((of for of in result["links"] if of["verdict"] == "mismatch"), None)
    if wrong is None:
        return "net_heal_all({cluster_name}) ends the faults, if there are any"
    names = ", ".join(f"{end}={json.dumps(wrong[end])}" for end in ("sender", "receiver"))
    return f"fault_explain({{cluster_name}}, {names})"


def _after_doctor(result: Any, known: Arguments) -> str:
    failed = any(check["verdict"] == "failed" for check in result["checks"])
    return "tell your user what the failed checks say" if failed else "topology_list()"


_AFTER: dict[str, str | Callable[[Any, Arguments], str]] = {
    "topology_list": _after_topologies,
    "topology_show": _after_topology,
    "topology_write": _after_topology,
    "cluster_list": _after_clusters,
    "cluster_plan": _after_plan,
    "cluster_rollback_plan": _after_plan,
    "cluster_define": "cluster_start({cluster_name})",
    **dict.fromkeys(
        ("cluster_apply", "cluster_start", "cluster_restart", "cluster_status", "cluster_rollback", "cluster_adopt"),
        _after_status,
    ),
    "snapshot_revert": _after_revert,
    "node_crash": _after_status,
    "cluster_handle": "dmesg_mark({cluster_name}) before a test",
    "cluster_stop": "cluster_start({cluster_name}) or cluster_destroy({cluster_name})",
    "cluster_destroy": _after_destroy,
    "cluster_history": "cluster_rollback_plan({cluster_name}, to=…)",
    "node_exec": _after_exec,
    "node_exec_all": _after_exec_all,
    "job_start": _after_job,
    "job_stop": _after_job,
    "job_output": _after_job,
    "job_status": _after_jobs,
    "snapshot_create": "snapshot_revert({cluster_name}, {snapshot_name}) takes the nodes back here",
    "snapshot_list": _after_snapshots,
    "snapshot_tree": _after_snapshot_tree,
    "snapshot_delete": "snapshot_list({cluster_name})",
    "net_partition": _after_fault,
    "net_impair": _after_fault,
    "net_fault_list": _after_faults,
    "net_heal": "net_fault_list({cluster_name})",
    "fault_explain": "fault_verify({cluster_name})",
    "fault_verify": _after_verification,
    "node_push": "node_exec_all({cluster_name}, command=…)",
    "dmesg_mark": "dmesg_collect({cluster_name}, since_marker=…) after the test",
    "dmesg_collect": _after_kernel_logs,
    "artifact_register": _after_registration,
    "artifact_list": _after_builds,
    "artifact_diff": "artifact_sync(cluster_name=…, artifact_id=…)",
    "artifact_sync": "artifact_install({cluster_name}, {artifact_id})",
    "artifact_install": 'node_exec_all({cluster_name}, command="modprobe …"), or snapshot_create({cluster_name}, '
    "snapshot_name=…, include_memory=true)",
    "artifact_remove": "artifact_list()",
    "image_list": _after_images,
    **dict.fromkeys(("image_build", "image_pull"), _WHAT_USES_IMAGES),
    "host_doctor": _after_doctor,
    "host_list": "cluster_list()",
    "host_show": "cluster_list()",
}
