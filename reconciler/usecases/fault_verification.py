"""Measures the effect of faults between guests, and compares it with the expected one."""

import asyncio
import secrets
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from statistics import median
from typing import Annotated

from pydantic import Field, NonNegativeInt, ValidationError

from reconciler.errors import ClusterError
from reconciler.faults.combine import wanted_at
from reconciler.faults.explain import explain_link
from reconciler.faults.link_verdicts import FaultVerification, LinkVerdict, Measured, judge, probes_needed
from reconciler.guest.address import GuestAddress
from reconciler.model.base import Frozen
from reconciler.model.faults import LinkExplanation
from reconciler.model.record import ClusterRecord
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection

PORT = 43717
GAP_S = 0.05
MAX_PROBES_PER_S = 400
"""How many probes per second one guest has to count, from all others together; an emulated one manages that."""

START_TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""How much longer than planned a guest may take for its probes on a busy host."""


class _NodeReport(Frozen):
    """The measurements of one node by the other's address: round trips of its own probes, and probes it received."""

    trips: dict[str, tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]]
    counted: dict[str, NonNegativeInt]


class FaultVerifier:
    """Measures links. Changes nothing but the guests' neighbour tables."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._script = (files("reconciler.guest") / "link_probe.py").read_bytes()

    async def verify(
        self, cluster: str, nodes: str | Sequence[str] | None = None, *, count: int | None = None
    ) -> FaultVerification:
        """Measure between `nodes`, by default all: reachability, delay and loss.

        The links of nodes that cannot be reached are inconclusive. Raises `NodeNotFound`.
        """
        record = await existing(self._runtime.store, cluster)
        chosen = select_nodes(record, nodes)
        faults = wanted_at(record.faults.values(), datetime.now(UTC))
        links = [explain_link(faults, tuple(record.spec.nodes), a, b) for a in chosen for b in chosen if a != b]
        probes = count or probes_needed([link.impairment for link in links if link.impairment])
        measured, troubles = await self._measure(record, chosen, probes, _longest_delay_s(links))
        return FaultVerification(
            cluster_name=cluster, links=tuple(_verdict(record, link, measured, troubles, probes) for link in links)
        )

    async def _measure(
        self, record: ClusterRecord, nodes: list[str], count: int, delay_s: float
    ) -> tuple[dict[str, _NodeReport], dict[str, str]]:
        """What each node measured, and for the others why they could not measure."""
        troubles = dict.fromkeys(await Inspection(self._runtime).not_running(record, nodes), "is not running")
        able = await addresses(self._runtime, record, [node for node in nodes if node not in troubles])
        session = secrets.token_hex(8)
        gap_s = max(GAP_S, (len(nodes) - 1) / MAX_PROBES_PER_S)
        last_s = int(count * gap_s + delay_s + 2 * PATIENCE_S)
        subnet = str(record.spec.network.subnet.broadcast_address)
        ready = await self._run(able, ["listen", session, PORT, last_s], troubles, START_TIMEOUT_S)
        able = [address for address in able if address.node in ready]
        sent = await self._run(able, ["send", session, PORT, subnet, count, gap_s], troubles, last_s)
        await asyncio.sleep(delay_s)
        able = [address for address in able if address.node in sent]
        counted = await self._run(able, ["report", session, PORT], troubles, START_TIMEOUT_S)
        return _understood(sent, counted, troubles), troubles

    async def _run(
        self, able: list[GuestAddress], words: Sequence[object], troubles: dict[str, str], timeout_s: float
    ) -> dict[str, str]:
        """What each node printed; a node that fails is moved to `troubles`."""
        command = f"python3 - {shlex.join(map(str, words))}"
        answers = await self._runtime.ssh.run_all(able, command, timeout_s=timeout_s, stdin=self._script, own=True)
        printed = {}
        for node, answer in answers.items():
            if isinstance(answer, ClusterError):
                troubles[node] = f"cannot be reached: {answer.message}"
            elif answer.exit_code != 0:
                troubles[node] = f"cannot measure: {answer.stderr.strip().splitlines()[-1:] or answer.exit_code}"
            else:
                printed[node] = answer.stdout
        return printed


def _understood(
    sent: Mapping[str, str], counted: Mapping[str, str], troubles: dict[str, str]
) -> dict[str, _NodeReport]:
    """What each node measured; one whose output cannot be parsed is moved to `troubles`."""
    reports = {}
    for node, text in counted.items():
        try:
            reports[node] = _NodeReport.model_validate_json(f'{{"trips": {sent[node]}, "counted": {text}}}')
        except ValidationError as error:
            troubles[node] = f"gave an answer that cannot be parsed: {error.errors(include_url=False)[0]['msg']}"
    return reports


def _verdict(
    record: ClusterRecord,
    link: LinkExplanation,
    measured: Mapping[str, _NodeReport],
    troubles: Mapping[str, str],
    probes: int,
) -> LinkVerdict:
    for end in (link.sender, link.receiver):
        if end not in measured:
            return judge(link, None, f"node {end} {troubles.get(end, 'was not asked')}")
    address = {node: str(record.spec.nodes[node].ip) for node in (link.sender, link.receiver)}
    arrived = measured[link.receiver].counted.get(address[link.sender], 0)
    trips = measured[link.sender].trips.get(address[link.receiver], ())
    own_ms = sum(median(measured[node].trips.get(address[node]) or (0.0,)) for node in address)
    return judge(link, Measured(probes, arrived, trips, own_ms))


def _longest_delay_s(links: Sequence[LinkExplanation]) -> float:
    """How long the last packet may take to arrive."""
    shaped = [link.impairment for link in links if link.impairment]
    return max(((of.delay_ms + of.jitter_ms) / 1000 for of in shaped), default=0.0)
