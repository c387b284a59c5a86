"""What libvirt tells of a machine, as counters: samples of libvirt 9.0.0 with QEMU 7.2, and 11.3.0 with QEMU 10.0."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.host.libvirt.domain_statistics import parse_counters
from reconciler.model.document import PowerState
from reconciler.model.node_load import NodeCounters

GOLDEN = Path(__file__).with_name("golden")


def sample(version: str = "9.0.0") -> dict[str, Any]:
    """What `virsh domstats` printed, with the types that Python's binding gives."""
    lines = (GOLDEN / f"domstats.libvirt-{version}.txt").read_text().splitlines()
    pairs = (line.strip().partition("=")[::2] for line in lines if "=" in line)
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def test_the_counters_of_all_disks_and_cards_are_summed() -> None:
    assert parse_counters(sample()) == NodeCounters(
        power=PowerState.RUNNING,
        vcpus=1,
        cpu_time_s=13.718982,
        memory_bytes=512 * 1024**2,
        resident_bytes=397456 * 1024,
        disk_read_bytes=13512704 + 174080,
        disk_written_bytes=1110016,
        disk_reads=309 + 39,
        disk_writes=83,
        received_bytes=25873,
        sent_bytes=153011,
    )


def test_the_counters_of_the_newer_libvirt_are_the_same() -> None:
    assert parse_counters(sample("11.3.0")) == NodeCounters(
        power=PowerState.RUNNING,
        vcpus=1,
        cpu_time_s=0.45,
        memory_bytes=512 * 1024**2,
        resident_bytes=52500 * 1024,
        disk_read_bytes=512,
        disk_written_bytes=0,
        disk_reads=1,
        disk_writes=0,
        received_bytes=90,
        sent_bytes=0,
    )


def test_a_machine_whose_monitor_is_in_use_tells_less() -> None:
    told = {name: value for name, value in sample().items() if not name.startswith(("balloon.", "block.1.wr"))}
    counters = parse_counters(told)
    assert (counters.memory_bytes, counters.resident_bytes, counters.disk_written_bytes) == (None, None, None)
    assert counters.disk_read_bytes == 13512704 + 174080


def test_a_machine_that_is_off_has_counted_nothing() -> None:
    counters = parse_counters({"state.state": 5, "state.reason": 1})
    assert counters.power is PowerState.OFF
    assert {value for name, value in asdict(counters).items() if name != "power"} == {None}
