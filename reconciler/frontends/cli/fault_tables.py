"""Network faults as people read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from reconciler.faults.link_verdicts import FaultVerification, LinkVerdict
from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import one_line, printable
from reconciler.model.faults import LinkExplanation, NetFaultHandle, NetFaultInfo
from reconciler.usecases.network_faults import Healed

_VERDICT_STYLES = {"confirmed": "green", "mismatch": "red", "inconclusive": "yellow"}
_STYLES = {"yes": "green", "no": "yellow"}
_APPLIED = {True: "yes", False: "no", None: "unknown"}
_IN_GRUDGE = ("grudge", "groups", "partition_a", "partition_b", "sides", "node")
_SHOWN_APART = ("source_node", "target_node", "direction", "include_host", "applied", "observed", *_IN_GRUDGE)


def show_injected(handle: NetFaultHandle) -> None:
    """A fault that was just injected, in one line."""
    until = f", until {utc_time(handle.expires_at)}" if handle.expires_at else ""
    typer.echo(printable(f"{handle.handle_id} affects {', '.join(handle.affected_nodes)}{until}"))


def show_healed(healed: Healed) -> None:
    """How many faults were healed."""
    typer.echo(f"{healed.healed} healed" if healed.healed else "nothing to heal")


def show_faults(faults: Sequence[NetFaultInfo]) -> None:
    """All desired faults of a cluster, one line each."""
    print_columns(
        ["FAULT", "NAME", "HITS", "DOES", "APPLIED", "UNTIL"],
        map(_fault_row, faults),
        _STYLES,
        empty="no faults; inject one with `vmcluster fault partition` or `vmcluster fault impair`",
    )


def show_explanation(explanation: LinkExplanation) -> None:
    """What a link does to packets, and why."""
    for line in explanation_lines(explanation):
        typer.echo(printable(line))


def show_verification(verification: FaultVerification) -> None:
    """Each directed pair of nodes: what was expected and what was measured."""
    print_columns(
        ["FROM", "TO", "VERDICT", "EXPECTED", "ARRIVED", "RTT", "BECAUSE"],
        map(_verdict_row, verification.links),
        _VERDICT_STYLES,
        empty="no links: that takes two nodes",
    )


def explanation_lines(explanation: LinkExplanation) -> Iterator[str]:
    """The summary, then a line for each fault."""
    yield f"{one_line(explanation.sender)} -> {one_line(explanation.receiver)}: {explanation.summary}"
    for effect in explanation.faults:
        yield f"  {effect.handle_id}: {effect.effect}"
    if explanation.added_rtt_ms:
        yield f"  round trips take {explanation.added_rtt_ms:g} ms longer"
    elif explanation.added_rtt_ms is None and not explanation.cut:
        yield "  no replies: the way back is cut"


def _verdict_row(link: LinkVerdict) -> list[str]:
    arrived = f"{link.arrived}/{link.sent}" if link.sent else "-"
    rtt = "-" if link.rtt_ms is None else f"{link.rtt_ms:.1f} ms"
    return [link.sender, link.receiver, link.verdict, link.expected, arrived, rtt, link.reason]


def _fault_row(fault: NetFaultInfo) -> list[str]:
    parameters = fault.parameters
    return [
        fault.handle_id,
        fault.declared_as or "-",
        _hits(fault),
        ", ".join(_in_words(parameters)),
        _APPLIED[parameters.get("applied")],
        utc_time(fault.expires_at) if fault.expires_at else "-",
    ]


def _hits(fault: NetFaultInfo) -> str:
    parameters = fault.parameters
    if "sides" in parameters:
        return str(parameters["sides"])
    target = parameters["target_node"]
    named = target if isinstance(target, str) else ",".join(target) or "nobody"
    arrow = {"to": "->", "from": "<-", "both": "<->"}[parameters["direction"]]
    return f"{parameters['source_node']} {arrow} {named}{' and host' if parameters['include_host'] else ''}"


def _in_words(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        if name not in _SHOWN_APART and value:
            yield (
                str(value)
                if name in ("shape", "mode")
                else f"{name}={value:g}"
                if not isinstance(value, str)
                else (f"{name}={value}")
            )
