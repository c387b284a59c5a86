"""Leaves out of an answer what says nothing, unless a client wants every field. Pure.

A field says nothing if it is null or empty by default; the fields of the contract always stay. A condition says nothing
if it is as it should be; `Ready` always stays. What is said twice is said once.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

from reconciler.model.faults import NetFaultInfo
from reconciler.model.kernel_log import DmesgLine, DmesgResult, KernelEvent
from reconciler.model.results import ArtifactDiff, ClusterStatus, ExecResult, NodeStatus
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.records.plan_view import PlanView

OF_THE_CONTRACT: dict[str, frozenset[str]] = {
    "ToolError": frozenset({"node"}),
    "NodeStatus": frozenset({"artifact_id_installed", "loaded_modules"}),
    "ClusterHandle": frozenset({"artifact_path"}),
    "NodeDescriptor": frozenset({"ssh_port"}),
    "SnapshotNodeDeletion": frozenset({"error"}),
    "BuildArtifact": frozenset({"test_framework_path", "git_sha", "git_branch"}),
    "ArtifactDiff": frozenset({"git_log"}),
}
"""By model: fields of the contract that have a default."""
_SAID_ELSEWHERE: dict[type[BaseModel], frozenset[str]] = {
    NetFaultInfo: frozenset({"requested", "observed"}),  # in `parameters`
    DmesgLine: frozenset({"sequence"}),
    KernelEvent: frozenset({"sequence"}),
    ArtifactDiff: frozenset({"changed_others", "added_others", "removed_others"}),  # counted in `other_changes`
    PlanView: frozenset({"patch", "record_patch"}),  # in `actions` and `record_changes`
}
_BAD_WHEN_TRUE = frozenset({ConditionType.DRIFTED})
_HARMLESS = (None, "normal")
"""How lines are classified that are no part of an event."""
_COUNTS = ("omitted", "_omitted_bytes", "_truncated")
"""Parts of the names of fields that say what an answer omits: they are filled in after this."""


def brief(value: Any, dumped: Any) -> Any:
    """What is left of a value, given together with its data as for JSON."""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return _brief_record(value, dumped)
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {key: brief(of, left) for of, (key, left) in zip(value.values(), dumped.items(), strict=True)}
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        pairs = zip(value, dumped, strict=True)
        return [brief(of, left) for of, left in pairs if not (isinstance(of, Condition) and _as_it_should_be(of))]
    return dumped


def without_modules(result: Any) -> Any:
    """The same, with the nodes' loaded modules counted: they are listed where the state of a cluster is asked for."""
    match result:
        case ClusterStatus():
            return result.model_copy(update={"nodes": tuple(map(without_modules, result.nodes))})
        case NodeStatus():
            counted = {"loaded_modules": len(result.loaded_modules)} if result.loaded_modules else {}
            return result.model_copy(update={"loaded_modules": (), "omitted": counted})
        case _:
            return result


def without_empty_counts(value: Any) -> Any:
    """The same without the counts of what is omitted where nothing is."""
    if isinstance(value, dict):
        return {key: without_empty_counts(of) for key, of in value.items() if of or not _is_count(key)}
    return [without_empty_counts(of) for of in value] if isinstance(value, list) else value


def _brief_record(value: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    kind = type(value)
    kept = {key: brief(getattr(value, key), of) for key, of in dumped.items() if _says_something(value, key)}
    if kind is KernelEvent:
        kept |= {"lines": [], "omitted": {"lines": len(dumped["lines"])}}
    return _without_traces(value, kept) if isinstance(value, DmesgResult) else kept


def _without_traces(log: DmesgResult, shown: dict[str, Any]) -> dict[str, Any]:
    """The log with just the first line of each event, which says where it happened."""
    traces = {text for event in log.events for text in event.lines}.difference(of.summary for of in log.events)
    lines = [of for of in shown["lines"] if of["classified_as"] in _HARMLESS or of["text"] not in traces]
    count = len(shown["lines"]) - len(lines)
    return {**shown, "lines": lines, "omitted": {"trace_lines": count} if count else {}}


def _says_something(value: BaseModel, key: str) -> bool:
    kind = type(value)
    if key not in kind.model_fields or key in OF_THE_CONTRACT.get(kind.__name__, ()) or _is_count(key):
        return True
    field = kind.model_fields[key]
    if key in _SAID_ELSEWHERE.get(kind, ()):
        return False
    if key == "conditions":
        return not all(map(_as_it_should_be, getattr(value, key)))
    said, default = getattr(value, key), field.get_default(call_default_factory=False)
    if field.is_required() or said != default:
        return True
    return isinstance(default, bool | int | float | Enum) and kind is not ExecResult


def _as_it_should_be(condition: Condition) -> bool:
    good = ConditionStatus.FALSE if condition.type in _BAD_WHEN_TRUE else ConditionStatus.TRUE
    return condition.type is not ConditionType.READY and condition.status is good


def _is_count(key: str) -> bool:
    return key.startswith(_COUNTS[0]) or key.endswith(_COUNTS[1:])
