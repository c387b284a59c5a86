"""What libvirt tells of a machine, as counters: a golden sample of libvirt 9.0.0 and QEMU 7.2."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.host.libvirt.domain_statistics import parse_counters
from reconciler.model.document import PowerState
from reconciler.model.node_load import NodeCounters

GOLDEN = Path(__file__).with_name("golden") / "domstats.libvirt-9.0.0.txt"


def sample() -> dict[str, Any]:
    """What `virsh domstats` printed, with the types that Python's binding gives."""
    pairs = (line.strip().partition("=")[::2] for line in GOLDEN.read_text().splitlines() if "=" in line)
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


def test_a_machine_whose_monitor_is_in_use_tells_less() -> None:
    told = {name: value for name, value in sample().items() if not name.startswith(("balloon.", "block.1.wr"))}
    counters = parse_counters(told)
    assert (counters.memory_bytes, counters.resident_bytes, counters.disk_written_bytes) == (None, None, None)
    assert counters.disk_read_bytes == 13512704 + 174080


def test_a_machine_that_is_off_has_counted_nothing() -> None:
    counters = parse_counters({"state.state": 5, "state.reason": 1})
    assert counters.power is PowerState.OFF
    assert {value for name, value in asdict(counters).items() if name != "power"} == {None}
