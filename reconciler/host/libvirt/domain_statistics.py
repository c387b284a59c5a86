"""What libvirt counts of its machines: processors, memory, disks and network cards, of all in one call."""

from collections.abc import Iterable, Mapping
from typing import Any

import libvirt

from reconciler.host.libvirt.machine_power import POWER_STATES
from reconciler.model import names
from reconciler.model.node_load import NodeCounters

_COUNTED = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_WITHOUT_WAITING = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
"""A machine whose monitor is in use, as by a snapshot, tells less; the others do not wait for it."""

_NANOSECONDS = 1e9
_KIB = 1024


def read_counters(handle: Any) -> dict[tuple[str, str], NodeCounters]:
    """The counters of every domain with one of our names, by cluster and node."""
    seen = ((names.parse_domain_name(domain.name()), stats) for domain, stats in _all_statistics(handle))
    return {place: parse_counters(stats) for place, stats in seen if place is not None}


def parse_counters(stats: Mapping[str, Any]) -> NodeCounters:
    """The counters in what libvirt says of one domain (virConnectGetAllDomainStats); what is missing is None."""
    cpu_time_ns, memory_kib, resident_kib = (stats.get(f) for f in ("cpu.time", "balloon.current", "balloon.rss"))
    return NodeCounters(
        power=POWER_STATES[stats["state.state"]],
        vcpus=stats.get("vcpu.current"),
        cpu_time_s=None if cpu_time_ns is None else cpu_time_ns / _NANOSECONDS,
        memory_bytes=None if memory_kib is None else memory_kib * _KIB,
        resident_bytes=None if resident_kib is None else resident_kib * _KIB,
        disk_read_bytes=_sum(stats, "block", "rd.bytes"),
        disk_written_bytes=_sum(stats, "block", "wr.bytes"),
        disk_reads=_sum(stats, "block", "rd.reqs"),
        disk_writes=_sum(stats, "block", "wr.reqs"),
        received_bytes=_sum(stats, "net", "rx.bytes"),
        sent_bytes=_sum(stats, "net", "tx.bytes"),
    )


def _all_statistics(handle: Any) -> Iterable[tuple[Any, Mapping[str, Any]]]:
    found: Iterable[tuple[Any, Mapping[str, Any]]] = handle.getAllDomainStats(_COUNTED, _WITHOUT_WAITING)
    return found


def _sum(stats: Mapping[str, Any], group: str, counter: str) -> int | None:
    """A counter of all devices of a group together; None if any of them does not tell."""
    keys = [f"{group}.{index}.{counter}" for index in range(stats.get(f"{group}.count", 0))]
    return sum(int(stats[key]) for key in keys) if keys and all(key in stats for key in keys) else None
