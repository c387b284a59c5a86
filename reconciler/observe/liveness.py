"""What the host sees of a machine that accepts no login: its age, its console log, its packets."""

import asyncio
import time
from datetime import UTC, datetime

from reconciler.errors import OperationFailed
from reconciler.host import tap
from reconciler.host.console_log import console_written_ns
from reconciler.host.machine_start import read_machine_start
from reconciler.model.document import Unknown
from reconciler.model.life_signs import LifeSigns
from reconciler.model.names import console_path, domain_name
from reconciler.model.record import ClusterRecord


async def observe_life_signs(record: ClusterRecord, node: str) -> LifeSigns | Unknown:
    """The signs of life of a running node since its start; unknown if part of them cannot be read."""
    return await asyncio.to_thread(_look, record, node)


async def observe_power_turn(record: ClusterRecord, node: str) -> datetime | None:
    """When a node's present run started; if it is off, when it last wrote to its console, if it ever did."""
    return await asyncio.to_thread(_turn, record, node)


def _turn(record: ClusterRecord, node: str) -> datetime | None:
    start = read_machine_start(domain_name(record.cluster_name, node))
    if not isinstance(start, Unknown):
        return datetime.fromtimestamp(start.started_ns / 1e9, UTC)
    try:
        written_ns = console_written_ns(console_path(record.spec.overlay_dir, record.cluster_name, node))
    except OperationFailed:
        return None
    return datetime.fromtimestamp(written_ns / 1e9, UTC)


def _look(record: ClusterRecord, node: str) -> LifeSigns | Unknown:
    start = read_machine_start(domain_name(record.cluster_name, node))
    if isinstance(start, Unknown):
        return start
    try:
        written_ns = console_written_ns(console_path(record.spec.overlay_dir, record.cluster_name, node))
    except OperationFailed as error:
        return Unknown(unknown=str(error), code=error.code)
    packets = tap.packets_from_guest(record.spec.nodes[node].tap)
    if packets is None:
        return Unknown(unknown="its network card does not exist", code=OperationFailed.code)
    idle_s = max(0.0, time.time() - written_ns / 1e9) if written_ns > start.started_ns else None
    started_at = datetime.fromtimestamp(start.started_ns / 1e9, UTC)
    return LifeSigns(started_at, start.age_s, start.restored, idle_s, packets)
