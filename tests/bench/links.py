"""Cutting, healing and changing many links on interfaces that carry nothing, beside one command for each rule."""

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product

from reconciler import process
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.links import FirewallState, HostLinks, Impairment, Port, Ports, TapPair, TapQdisc, same_cuts
from reconciler.process import Completed
from tests.bench.figure import Figure, median_figure

CLUSTER = "bench"
HOST_MAC = "52:00:00:00:00:01"
ROUNDS = 7
_DEVICE = re.compile(rb" dev (\S+)")


class Counted:
    """Runs commands, and notes how many, and which taps tc was told about."""

    def __init__(self) -> None:
        self.processes = 0
        self.taps: set[bytes] = set()

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed:
        self.processes += 1
        if argv[0] == "tc":
            self.taps |= set(_DEVICE.findall(stdin or b""))
        return await process.run(argv, timeout_s=timeout_s, stdin=stdin, check=check)


async def measure() -> Sequence[Figure]:
    """All figures; needs no guest and no libvirt."""
    return [
        *await _partition(15, limit_s=0.05, with_baseline=True),
        *await _partition(50, limit_s=0.3, with_baseline=False),
        *await _one_of_many(100),
    ]


async def _partition(half: int, *, limit_s: float, with_baseline: bool) -> list[Figure]:
    async with _host(2 * half) as ports:
        split = _halves(ports, half)
        samples = [await _life(split, ports) for _ in range(ROUNDS)]
        baselines = await _one_by_one(split) if with_baseline else (None, None)
    figures = []
    for place, verb in enumerate(("apply", "heal")):
        name, baseline = f"{verb} a partition {half}|{half}", baselines[place]
        times, processes = zip(*(sample[place] for sample in samples), strict=True)
        figures += [
            median_figure(
                name,
                times,
                limit=limit_s,
                baseline=None if baseline is None else [baseline],
                reference="a command for each rule" if baseline else "",
            ),
            Figure(f"{name}, processes", max(processes), unit="", limit=2),
        ]
    return figures


async def _life(split: HostLinks, ports: Ports) -> list[tuple[float, int]]:
    """Seconds and processes of applying and of healing."""
    run = Counted()
    driver = LinkDriver(run=run)
    measured = []
    for wanted in (split, HostLinks()):
        observed = await driver.observe(CLUSTER, ports)
        run.processes = 0
        began = time.perf_counter()
        await driver.apply(CLUSTER, wanted, observed, ports)
        measured.append((time.perf_counter() - began, run.processes))
        assert same_cuts((await driver.observe(CLUSTER, ports)).firewall, wanted.firewall)
    return measured


async def _one_by_one(split: HostLinks) -> tuple[float, float]:
    """Seconds for the same rules when each is put in, and taken out, by a command of its own."""
    took = []
    for verb in ("-A", "-D"):
        began = time.perf_counter()
        for sender, receiver in split.firewall.cuts:
            match = ["-m", "physdev", "--physdev-in", sender, "--physdev-out", receiver, "-j", "DROP"]
            await process.run(["iptables", "-w", verb, "FORWARD", *match])
        took.append(time.perf_counter() - began)
    return took[0], took[1]


async def _one_of_many(nodes: int) -> list[Figure]:
    """Every node impaired towards every other and the host: then one pair changes."""
    async with _host(nodes) as ports:
        run = Counted()
        driver = LinkDriver(run=run)
        times = []
        for rate_kbit in range(1000, 1000 + 4):
            wanted = _all_slowed(ports, rate_kbit)
            observed = await driver.observe(CLUSTER, ports)
            run.taps.clear()
            began = time.perf_counter()
            await driver.apply(CLUSTER, wanted, observed, ports)
            times.append(time.perf_counter() - began)
        return [
            median_figure(
                f"change one impaired pair of {nodes * nodes}",
                times[1:],
                baseline=times[:1],
                reference="making all of them",
            ),
            Figure(f"taps touched by one pair of {nodes * nodes}", len(run.taps), unit="", limit=1),
        ]


@asynccontextmanager
async def _host(nodes: int) -> AsyncIterator[Ports]:
    ports = Ports(
        {f"n{index}": Port(f"vmc-b{index}", f"52:00:00:00:01:{index:02x}") for index in range(nodes)}, HOST_MAC
    )
    taps = [port.tap for port in ports.nodes.values()]
    pairs = list(zip(taps[::2], taps[1::2], strict=True))  # not every kernel has dummy interfaces
    await _ip(*(f"link add {one} up type veth peer name {other}" for one, other in pairs))
    await _ip(*(f"link set {other} up" for _, other in pairs))
    try:
        yield ports
    finally:
        await LinkDriver().clear(CLUSTER, taps)
        await _ip(*(f"link del {one}" for one, _ in pairs))


async def _ip(*lines: str) -> None:
    await process.run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode())


def _halves(ports: Ports, half: int) -> HostLinks:
    taps = [port.tap for port in ports.nodes.values()]
    one, other = taps[:half], taps[half:]
    pairs = [*product(one, other), *product(other, one)]
    return HostLinks(FirewallState({TapPair(*pair): None for pair in pairs}))


def _all_slowed(ports: Ports, last_kbit: int) -> HostLinks:
    """Every pair at one rate, but for the last one."""
    macs = [*(port.mac for port in ports.nodes.values()), HOST_MAC]
    slow = Impairment(rate_kbit=500)
    taps = {
        port.tap: TapQdisc(dict.fromkeys((mac for mac in macs if mac != port.mac), slow))
        for port in ports.nodes.values()
    }
    last = [*ports.nodes.values()][-1].tap
    taps[last] = TapQdisc({**taps[last].senders, HOST_MAC: Impairment(rate_kbit=last_kbit)})
    return HostLinks(taps=taps)
