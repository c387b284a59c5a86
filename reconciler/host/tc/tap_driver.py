"""Changes the queues of taps through `tc`, with one batch for all taps that differ."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconciler.errors import ClusterError, Conflict, HostCapabilityMissing, HostCommandFailed, OperationFailed
from reconciler.host.capabilities import Capabilities, missing
from reconciler.host.features import NETEM
from reconciler.host.netlink.dump import Kernel
from reconciler.host.tc.listing import (
    ListingChanged,
    Qdiscs,
    failed_line,
    marked_taps,
    parse_qdiscs,
    parse_trees,
    render_roots,
    render_show,
)
from reconciler.host.tc.tap_codec import TapTree, render_batch
from reconciler.model.links import Impairment, TapQdisc
from reconciler.process import Completed, RunCommand

_BATCH = ("tc", "-force", "-batch", "-")
_UNKNOWN_KIND = "kind is unknown"  # net/sched/sch_api.c: "Specified qdisc kind is unknown."
_MIXED_DUPLICATES = "cannot mix duplicating netems"  # net/sched/sch_netem.c


@dataclass(frozen=True, slots=True)
class _BatchLine:
    tap: str
    text: str


class TapDriver:
    """Reads and changes the queues of taps on one host."""

    def __init__(self, run: RunCommand, capabilities: Capabilities, kernel: Kernel | None = None) -> None:
        self._run = run
        self._capabilities = capabilities
        self._kernel = kernel

    async def observe(self, taps: Collection[str]) -> dict[str, TapTree]:
        """The trees of those taps, which must exist; one that is deleted meanwhile is left out."""
        if not taps:
            return {}
        qdiscs = await self._list(taps)
        ours = marked_taps(qdiscs)
        if not ours:
            return parse_trees(qdiscs)
        # Ignore the exit code: a tap may have been deleted, and the others are shown all the same.
        shown = await self._run(_BATCH, stdin=render_show(ours).encode(), check=False)
        try:
            return parse_trees(qdiscs, shown.stdout, shown.stderr)
        except ListingChanged:
            raise OperationFailed("the queues of the taps changed while they were being read") from None

    async def _list(self, taps: Collection[str]) -> Qdiscs:
        """All queues of those taps if any of them has ours; otherwise at least their roots."""
        roots = self._kernel.root_queues(taps) if self._kernel is not None else None
        if roots is not None and not marked_taps(seen := render_roots(roots)):
            return seen
        return parse_qdiscs((await self._run(["tc", "-j", "qdisc", "show"])).stdout, taps)

    async def apply(
        self, wanted: Mapping[str, TapQdisc], found: Mapping[str, TapTree], nodes: Mapping[str, str]
    ) -> list[ClusterError]:
        """Make the queues of the taps as `wanted` and return the errors; `nodes` names each tap's node in them.

        A tap for which only a part can be made gets that part.
        """
        errors: list[ClusterError] = []
        possible = await self._possible(wanted, found, nodes, errors)
        lines = [
            _BatchLine(tap, line)
            for tap, qdisc in sorted(possible.items())
            for line in render_batch(tap, found[tap], qdisc).splitlines()
        ]
        if lines:
            batch = "".join(f"{line.text}\n" for line in lines)
            # One tap's failure does not affect the others: -force continues with them.
            done = await self._run(_BATCH, stdin=batch.encode(), check=False)
            if done.exit_code != 0:
                errors.append(_error(done, lines, nodes))
        return errors

    async def _possible(
        self,
        wanted: Mapping[str, TapQdisc],
        found: Mapping[str, TapTree],
        nodes: Mapping[str, str],
        errors: list[ClusterError],
    ) -> dict[str, TapQdisc]:
        complaint = await self._netem_complaint(wanted)
        possible = {}
        for tap, qdisc in wanted.items():
            if (obstacle := _obstacle(tap, found.get(tap), nodes.get(tap))) is not None:
                errors.append(obstacle)
                continue
            possible[tap] = _without_netem(qdisc) if complaint else qdisc
            if complaint and possible[tap] != qdisc:
                errors.append(missing(NETEM, complaint, node=nodes.get(tap)))
        return possible

    async def _netem_complaint(self, wanted: Mapping[str, TapQdisc]) -> str | None:
        if any(impairment.needs_netem for qdisc in wanted.values() for impairment in qdisc.senders.values()):
            return await self._capabilities.complaint(NETEM)
        return None


def _obstacle(tap: str, tree: TapTree | None, node: str | None) -> ClusterError | None:
    if tree is None:
        return OperationFailed(f"the tap {tap} does not exist, or no longer", node=node)
    if tree.mark is None:
        return Conflict(
            f"the tap {tap} has a queue that vmcluster did not create: {tree.foreign}",
            node=node,
            hint=f"remove it (`tc qdisc del dev {tap} root`) or do without the impairment",
        )
    return None


def _without_netem(qdisc: TapQdisc) -> TapQdisc:
    senders: dict[str, Impairment] = {
        mac: impairment for mac, impairment in qdisc.senders.items() if not impairment.needs_netem
    }
    return TapQdisc(senders)


def _error(done: Completed, lines: Sequence[_BatchLine], nodes: Mapping[str, str]) -> ClusterError:
    """The first complaint of a batch, with the line it is about."""
    text = done.stderr.decode(errors="replace").strip()
    number = failed_line(text)
    line = lines[number - 1] if number is not None and number <= len(lines) else None
    complaint = text.partition("Command failed")[0].strip()
    message = f"tc refused: {complaint}" if line is None else f"tc refused `tc {line.text}`: {complaint}"
    node = nodes.get(line.tap) if line else None
    if _UNKNOWN_KIND in complaint:
        return HostCapabilityMissing(message, node=node, hint="the kernel needs sch_htb, cls_u32, sch_netem and pfifo")
    if _MIXED_DUPLICATES in complaint:
        hint = "this kernel supports only one impaired sender per node if packets are duplicated"
        return HostCapabilityMissing(message, node=node, hint=hint)
    return HostCommandFailed(message, node=node)
