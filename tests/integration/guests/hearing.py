"""What nodes receive from each other while all of them chatter: counted in the guests, read over SSH."""

import asyncio
import json
import shlex
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Session
from tests.integration.guests.conftest import NODES

Pair = tuple[str, str]
"""Sender and receiver."""

PAIRS = frozenset(permutations(NODES, 2))
KINDS = ("icmp", "icmp6", "arp", "tcp", "broadcast")

_SCRIPT = Path(__file__).with_name("chatter.py").read_bytes()
_ENOUGH = 2
_TICKS = 2
_PATIENCE_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Hearing:
    """All nodes of the shared cluster chatter until it is rewound or restarted."""

    session: Session

    async def begin(self, nodes: Collection[str] = NODES) -> None:
        """Make these nodes chatter."""
        record = await self.session.runtime.store.get(CLUSTER)
        assert record is not None
        shown = await self.session.nodes.run_all(
            CLUSTER, "ip -o -6 addr show scope link | awk '{print $4}'", timeout_s=60
        )
        around = {
            name: {
                "mac": node.mac,
                "ip": str(node.ip),
                "link_local": shown.results[name].stdout.strip().removesuffix("/64"),
            }
            for name, node in record.spec.nodes.items()
        }
        command = f"python3 - {shlex.quote(json.dumps(around))}"
        begun = await self.session.nodes.run_all(CLUSTER, command, nodes=nodes, timeout_s=60, stdin=_SCRIPT)
        assert begun.all_succeeded, begun

    async def heard(self, nodes: Collection[str] = NODES) -> Counter[tuple[str, Pair]]:
        """How many packets of each kind each of these nodes has received from each other one so far."""
        return (await self._reports(nodes))[1]

    async def settle(self, nodes: Collection[str] = NODES) -> None:
        """Wait until packets in flight have been counted."""
        before, _ = await self._reports(nodes)
        await self._until_ticked({node: ticks + _TICKS for node, ticks in before.items()})

    async def only_passes(
        self,
        passing: Collection[Pair],
        *,
        kinds: Collection[str] = KINDS,
        nodes: Collection[str] = NODES,
        leaking: Collection[str] = (),
    ) -> None:
        """Wait for packets of every kind over the pairs that pass; meanwhile no other pair may receive any.

        Kinds in `leaking` must arrive over all pairs.
        """
        await self.settle(nodes)
        before, deadline = await self.heard(nodes), time.monotonic() + _PATIENCE_S
        pairs = [pair for pair in PAIRS if pair[1] in nodes]
        wanted = {(kind, pair) for kind in kinds for pair in pairs if pair in passing or kind in leaking}
        while True:
            new = await self.heard(nodes) - before
            astray = {key: count for key, count in new.items() if key[1] not in passing and key[0] in kinds}
            assert not astray.keys() - wanted, f"heard over a cut: {astray}"
            missing = sorted(key for key in wanted if new[key] < _ENOUGH)
            if not missing:
                return
            assert time.monotonic() < deadline, f"not heard: {missing}"
            await asyncio.sleep(_POLL_S)

    async def _reports(self, nodes: Collection[str]) -> tuple[dict[str, int], Counter[tuple[str, Pair]]]:
        shown = await self.session.nodes.run_all(CLUSTER, "cat /run/chatter.json", nodes=nodes, timeout_s=60)
        reports = {node: json.loads(result.stdout) for node, result in shown.results.items()}
        counts = Counter(
            {
                (kind, (sender, node)): count
                for node, report in reports.items()
                for sender, kinds in report["heard"].items()
                for kind, count in kinds.items()
            }
        )
        return {node: report["ticks"] for node, report in reports.items()}, counts

    async def _until_ticked(self, wanted: dict[str, int]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with_ticks, _ = await self._reports(wanted.keys())
            if all(with_ticks[node] >= ticks for node, ticks in wanted.items()):
                return
            assert time.monotonic() < deadline, "the nodes do not chatter"
            await asyncio.sleep(_POLL_S)
