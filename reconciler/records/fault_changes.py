"""Adds faults to a record and removes them. Pure, like `record_changes`."""

from collections.abc import Collection, Mapping
from datetime import datetime

from reconciler.faults.combine import Fault, wanted_at
from reconciler.faults.kinds import made
from reconciler.faults.validate import expiry
from reconciler.model.faults import FaultRequest
from reconciler.model.record import ClusterRecord


def with_fault(
    record: ClusterRecord,
    request: FaultRequest,
    *,
    now: datetime,
    duration_s: float | None = None,
    afresh: bool = False,
) -> tuple[ClusterRecord, Fault]:
    """The record with a requested fault, and that fault.

    Repeating a request means the same fault, whose time starts again, so that a call can be repeated; `afresh` adds
    another one. Raises as `reconciler.faults.validate` does.
    """
    fault = _next_fault(record, request, now, duration_s)
    same = None if afresh else _same_fault(record, fault, now)
    if same is not None:
        fault = same.model_copy(update={"expires_at": fault.expires_at})
        return _with_faults(record, {**record.faults, fault.handle_id: fault}), fault
    return _with_faults(record, {**record.faults, fault.handle_id: fault}, requests=record.fault_requests + 1), fault


def with_declared_faults(record: ClusterRecord, *, now: datetime) -> ClusterRecord:
    """The record with exactly the topology faults that the specification declares.

    One that already exists as declared is left alone; one that changed, or whose nodes did, becomes a new fault with
    its own handle. Faults requested by commands or tools stay.
    """
    kept = {handle: fault for handle, fault in record.faults.items() if _stays_declared(record, fault, now)}
    there = {fault.declared_as for fault in kept.values()}
    after = _with_faults(record, kept)
    for name, declared in record.spec.faults.items():
        if name not in there:
            made = _next_fault(after, declared.request, now, declared.duration_s, name)
            after = _with_faults(after, {**after.faults, made.handle_id: made}, requests=after.fault_requests + 1)
    return after


def without_faults(record: ClusterRecord, handles: Collection[str]) -> ClusterRecord:
    """These faults are no longer desired."""
    return _with_faults(record, {handle: fault for handle, fault in record.faults.items() if handle not in handles})


def without_expired_faults(record: ClusterRecord, *, now: datetime) -> ClusterRecord:
    """Expired faults are no longer desired."""
    still = wanted_at(record.faults.values(), now)
    return _with_faults(record, {fault.handle_id: fault for fault in still})


def _with_faults(record: ClusterRecord, faults: Mapping[str, Fault], requests: int | None = None) -> ClusterRecord:
    counted = record.fault_requests if requests is None else requests
    return record.model_copy(update={"faults": dict(faults), "fault_requests": counted})


def _next_fault(
    record: ClusterRecord, request: FaultRequest, now: datetime, duration_s: float | None, name: str | None = None
) -> Fault:
    number, nodes = record.fault_requests + 1, tuple(record.spec.nodes)
    expires_at = expiry(now, duration_s)
    fault = made(request, nodes, number=number, created_at=now, expires_at=expires_at)
    return fault.model_copy(update={"declared_as": name})


def _same_fault(record: ClusterRecord, fault: Fault, now: datetime) -> Fault | None:
    wanted = wanted_at(record.faults.values(), now)
    return next((other for other in wanted if other.declared_as is None and _same_effect(other, fault)), None)


def _stays_declared(record: ClusterRecord, fault: Fault, now: datetime) -> bool:
    if fault.declared_as is None:
        return True
    declared = record.spec.faults.get(fault.declared_as)
    if declared is None or not wanted_at([fault], now):
        return False
    again = _next_fault(record, declared.request, fault.created_at, declared.duration_s)
    return _same_effect(fault, again) and fault.expires_at == again.expires_at


def _same_effect(one: Fault, other: Fault) -> bool:
    """Whether two faults have the same request and, because shapes are resolved once, the same cuts."""
    return one.request == other.request and getattr(one, "grudge", None) == getattr(other, "grudge", None)
