"""The host, looked at by brute force: all that a record wants is there, and nothing else of any kind."""

import json
import re
import subprocess
from pathlib import Path

import libvirt

from reconciler.model.faults import ImpairFault, PartitionFault
from reconciler.model.record import ClusterRecord, WantedPower
from tests.integration.bed import Bed, host_libvirt
from tests.integration.snapshots.films import assert_nothing_is_left_over
from tests.soak.damage import taps
from tests.soak.disks import read_snapshots

_OF_A_NODE = ("seed.iso", "host_ed25519", "host_ed25519.pub")
_PAIR = re.compile(r'"(\S+)" \. "(\S+)"')
_QUEUE = re.compile(r"^qdisc htb 4d4[01]: dev (\S+) root", re.MULTILINE)
_CLASS = re.compile(r"^class htb \S+ .*?rate (\d+)([KMG]?)bit", re.MULTILINE)
_KBIT = {"": 0.001, "K": 1, "M": 1000, "G": 10**6}


def assert_as_wanted(bed: Bed, record: ClusterRecord) -> None:
    """Domains, networks, interfaces, processes, rules, queues and files are exactly what the record wants."""
    running = frozenset(node for node, of in record.nodes.items() if of.power is WantedPower.RUNNING)
    _assert_domains(record, running)
    _assert_network(record, running)
    _assert_processes(record, running)
    _assert_rules(record)
    _assert_queues(record, running)
    _assert_files(bed, record)


def _assert_domains(record: ClusterRecord, running: frozenset[str]) -> None:
    with host_libvirt() as handle:
        domains = {of.name(): of for of in handle.listAllDomains()}
        assert domains.keys() == {f"{record.cluster_name}.{node}" for node in record.spec.nodes}
        for node, spec in record.spec.nodes.items():
            domain = domains[f"{record.cluster_name}.{node}"]
            expected = libvirt.VIR_DOMAIN_RUNNING if node in running else libvirt.VIR_DOMAIN_SHUTOFF
            assert domain.state()[0] == expected, f"{node} is in state {domain.state()}"
            assert domain.isPersistent(), f"{node} runs without a definition"
            assert not domain.hasManagedSaveImage()
            assert domain.snapshotNum() == len(domain.listAllCheckpoints()) == 0
            xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            assert f"<vcpu placement='static'>{spec.vcpus}<" in xml, f"{node} is altered"
            assert f"<memory unit='KiB'>{spec.memory_mb * 1024}<" in xml, f"{node} has other memory"


def _assert_network(record: ClusterRecord, running: frozenset[str]) -> None:
    with host_libvirt() as handle:
        networks = [(of.name(), of.isActive(), of.isPersistent()) for of in handle.listAllNetworks()]
    assert networks == [(record.spec.network.name, 1, 1)]
    here = Path("/sys/class/net")
    bridges = {path.parent.name for path in here.glob("*/bridge")}
    assert bridges == {record.spec.network.bridge}
    assert set(taps()) == {record.spec.nodes[node].tap for node in running}
    for tap in taps():
        assert (here / tap / "master").resolve().name == record.spec.network.bridge, f"{tap} is unplugged"


def _assert_processes(record: ClusterRecord, running: frozenset[str]) -> None:
    """QEMU, told by its arguments; what libvirt does not know of counts too."""
    prefix = f"guest={record.cluster_name}."
    lines = [path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    guests = [word.decode() for line in lines if b"qemu-system" in line[0] for word in line if b"guest=" in word]
    found = sorted(of.removeprefix(prefix).partition(",")[0] for of in guests)
    assert found == sorted(running), f"QEMU runs for {found}"


def _assert_rules(record: ClusterRecord) -> None:
    """Every table in the bridge family, as nft prints it."""
    expected = {
        (record.spec.nodes[sender].tap, record.spec.nodes[receiver].tap)
        for fault in record.faults.values()
        if isinstance(fault, PartitionFault)
        for receiver, senders in fault.grudge.items()
        for sender in senders
        if {sender, receiver} <= record.spec.nodes.keys()
    }
    listing = _run("nft", "list", "ruleset", "bridge")
    tables = re.findall(r"^table bridge (\S+)", listing, re.MULTILINE)
    assert set(_PAIR.findall(listing)) == expected
    assert tables == ([f"vmcluster-{record.cluster_name}"] if expected else [])


def _assert_queues(record: ClusterRecord, running: frozenset[str]) -> None:
    """What each receiver's tap should slow down: per sender, the lowest desired rate."""
    wanted: dict[str, dict[str, int]] = {}
    for fault in record.faults.values():
        if isinstance(fault, ImpairFault):
            source, rate = fault.request.source, fault.request.impairment.rate_kbit
            for node in running - {source}:
                slowed = wanted.setdefault(record.spec.nodes[node].tap, {})
                slowed[source] = min(rate, slowed.get(source, rate))
    assert set(_QUEUE.findall(_run("tc", "qdisc", "show"))) == wanted.keys()
    for tap in taps():
        rates = [int(rate) * _KBIT[unit] for rate, unit in _CLASS.findall(_run("tc", "class", "show", "dev", tap))]
        assert sorted(rates) == sorted(wanted.get(tap, {}).values()), f"{tap} is slowed to {rates}"


def _assert_files(bed: Bed, record: ClusterRecord) -> None:
    """Layers and snapshots by what needs them; of the rest, what each node has and no more, those of snapshots too."""
    assert_nothing_is_left_over(bed, record.cluster_name)
    directory = bed.settings.overlay_dir / record.cluster_name
    assert [path.name for path in bed.settings.overlay_dir.iterdir()] == [record.cluster_name]
    others = {path.name for path in directory.iterdir() if path.suffix != ".qcow2" and path.is_file()}
    consoles = {name for name in others if ".console.log" in name}
    nodes = record.spec.nodes.keys() | {
        node for cut in read_snapshots(directory / "snapshots").values() for node in cut
    }
    expected = {f"{node}.{name}" for node in nodes for name in _OF_A_NODE}
    assert others - consoles == expected, f"{sorted(others - consoles)}, and not {sorted(expected)}"
    assert {name.partition(".")[0] for name in consoles} <= nodes


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def as_json(record: ClusterRecord) -> str:
    """A record, to be shown where it was not kept to."""
    return json.dumps(record.model_dump(mode="json", exclude={"spec"}))
