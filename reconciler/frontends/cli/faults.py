"""The commands for network faults."""

# ruff: noqa: PLC0415  imports wait until a command runs

from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_fault, complete_node
from reconciler.frontends.cli.holding import HELD_COMMAND_HELP, HoldingCommand, hold, words_of
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import ending, prints
from reconciler.frontends.cli.session import FAILURE, CommandUseCases, Manner, present

if TYPE_CHECKING:
    from reconciler.model.faults import LinkExplanation, NetFaultHandle, NetFaultInfo, PartitionRequest
    from reconciler.usecases.fault_verification import FaultVerification
    from reconciler.usecases.faults import Healed

app = Commands()
fault = Commands(help="Break the network between nodes, exactly as asked, and heal it.", no_args_is_help=True)
app.add_typer(fault, name="fault")

_STAYS_WANTED = "the fault stays wanted: `vmcluster fault list` has it, `vmcluster fault heal` takes it back"
_AGAIN = "run it again, and it goes on"


class ShapeChoice(StrEnum):
    """The shapes of partitions; the values are those of the model's type, which would slow down every start."""

    GROUPS = "groups"
    HALVES = "halves"
    ONE = "one"
    BRIDGE = "bridge"
    MAJORITIES_RING = "majorities-ring"
    GRUDGE = "grudge"


class DirectionChoice(StrEnum):
    """Whose packets are hit."""

    BOTH = "both"
    TO = "to"
    FROM = "from"


class CutModeChoice(StrEnum):
    """How a partition is made."""

    DROP = "drop"
    LINK_DOWN = "link-down"


class DistributionChoice(StrEnum):
    """How a delay varies within its jitter."""

    UNIFORM = "uniform"
    NORMAL = "normal"
    PARETONORMAL = "paretonormal"
    PARETO = "pareto"


Handle = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[HANDLE]...",
        help="Handles of faults, or the topology's names for them.",
        autocompletion=complete_fault,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option("--duration", metavar="SECONDS", help="Heal then, even when nobody watches; left out: never."),
]
While = Annotated[str | None, typer.Option("--while", metavar="COMMAND...", help=HELD_COMMAND_HELP)]


@fault.command(cls=HoldingCommand)
@prints
def partition(
    cluster: Cluster,
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]...",
            help="Groups of nodes, each with commas between its nodes, that shall not hear each other: a,b c,d",
            autocompletion=complete_node,
        ),
    ] = None,
    shape: Annotated[
        ShapeChoice,
        typer.Option(
            "--shape", help="Laid over all nodes, in place of named groups; bridge takes two.", show_default=False
        ),
    ] = ShapeChoice.GROUPS,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NODE",
            help="The node of the shapes one and bridge; left out: the first and the middle one, or by --seed.",
            callback=valid_text,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="TO=FROM,FROM", help="For shape grudge: whom a node does not hear any more."),
    ] = None,
    direction: Annotated[
        DirectionChoice, typer.Option("--direction", help="Of two sides: `to` cuts what the first sends to the second.")
    ] = DirectionChoice.BOTH,
    mode: Annotated[
        CutModeChoice, typer.Option("--mode", help="link-down pulls cables: the nodes notice, and SSH to them ends.")
    ] = CutModeChoice.DROP,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="NUMBER", help="Shuffle the nodes before a shape is laid over them.")
    ] = None,
    duration: Duration = None,
    held: While = None,
    output: Output = OutputFormat.TABLE,
) -> "NetFaultHandle":
    """Let nothing pass between groups of nodes: IPv4, IPv6, ARP, broadcast, established connections."""
    from reconciler.frontends.cli.fault_tables import show_handle

    sides = tuple(map(names_in, groups or ()))
    grudge = dict(parse_drops(drop)) if drop else None

    def request() -> "PartitionRequest":
        from reconciler.faults.requests import Sides, partition_request
        from reconciler.model import faults as model

        who = Sides(shape=model.ShapeName(shape), groups=_named(sides, shape), node=node, grudge=grudge)
        return partition_request(who, direction=model.Direction(direction), mode=model.CutMode(mode), seed=seed)

    async def inject(use: CommandUseCases) -> "NetFaultHandle":
        return await use.faults.partition(
            cluster, request(), duration_s=duration, afresh=held is not None, progress=use.progress
        )

    return _inject(inject, cluster, held, Manner(output=output, when_interrupted=_STAYS_WANTED), show_handle)


@fault.command(cls=HoldingCommand)
@prints
def impair(
    cluster: Cluster,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The node that sends.", autocompletion=complete_node)],
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...", help="Nodes that receive; left out: all others.", autocompletion=complete_node
        ),
    ] = None,
    delay: Annotated[float, typer.Option("--delay", metavar="MS", help="Added to each packet's way.")] = 0.0,
    jitter: Annotated[float, typer.Option("--jitter", metavar="MS", help="By how much the delay varies.")] = 0.0,
    distribution: Annotated[
        DistributionChoice, typer.Option("--distribution", help="How the delay varies within its jitter.")
    ] = DistributionChoice.UNIFORM,
    delay_correlation: Annotated[float, typer.Option("--delay-correlation", metavar="PCT")] = 0.0,
    loss: Annotated[float, typer.Option("--loss", metavar="PCT", help="Packets that never arrive.")] = 0.0,
    loss_correlation: Annotated[float, typer.Option("--loss-correlation", metavar="PCT")] = 0.0,
    duplicate: Annotated[float, typer.Option("--duplicate", metavar="PCT", help="Packets that arrive twice.")] = 0.0,
    corrupt: Annotated[float, typer.Option("--corrupt", metavar="PCT", help="Packets with a bit flipped.")] = 0.0,
    reorder: Annotated[float, typer.Option("--reorder", metavar="PCT", help="Packets that overtake delayed ones.")] = 0,
    reorder_correlation: Annotated[float, typer.Option("--reorder-correlation", metavar="PCT")] = 0.0,
    reorder_gap: Annotated[int, typer.Option("--reorder-gap", metavar="N", help="Only each N-th may overtake.")] = 0,
    rate: Annotated[int, typer.Option("--rate", metavar="KBIT", help="Thousands of bits that pass per second.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="PACKETS", help="Packets that may wait.")] = 0,
    direction: Annotated[
        DirectionChoice, typer.Option("--direction", help="`to` hits what SOURCE sends, `from` what is sent to it.")
    ] = DirectionChoice.TO,
    include_host: Annotated[
        bool, typer.Option("--include-host", help="Traffic with the host too, SSH with it.")
    ] = False,
    duration: Duration = None,
    held: While = None,
    output: Output = OutputFormat.TABLE,
) -> "NetFaultHandle":
    """Delay, lose, change or slow down what one node sends to others, and only that. Zero is "not asked for"."""
    from reconciler.frontends.cli.fault_tables import show_handle

    async def inject(use: CommandUseCases) -> "NetFaultHandle":
        from reconciler.faults.requests import impair_request
        from reconciler.model import faults as model
        from reconciler.model import links

        asked = links.Impairment(
            delay_ms=delay,
            jitter_ms=jitter,
            delay_correlation_pct=delay_correlation,
            distribution=links.Distribution(distribution),
            loss_pct=loss,
            loss_correlation_pct=loss_correlation,
            duplicate_pct=duplicate,
            corrupt_pct=corrupt,
            reorder_pct=reorder,
            reorder_correlation_pct=reorder_correlation,
            reorder_gap=reorder_gap,
            rate_kbit=rate,
            limit_packets=limit,
        )
        named = [name for target in targets or () for name in names_in(target)] or None
        request = impair_request(source, named, asked, direction=model.Direction(direction), include_host=include_host)
        return await use.faults.impair(
            cluster, request, duration_s=duration, afresh=held is not None, progress=use.progress
        )

    return _inject(inject, cluster, held, Manner(output=output, when_interrupted=_STAYS_WANTED), show_handle)


@fault.command()
@prints
def heal(
    cluster: Cluster,
    handles: Handle = None,
    everything: Annotated[bool, typer.Option("--all", help="Heal all faults of the cluster.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "Healed":
    """Heal faults. One that is gone already is a success."""
    from reconciler.frontends.cli.fault_tables import show_healed

    if everything is bool(handles):
        raise typer.BadParameter("say either which faults, or --all")

    async def work(use: CommandUseCases) -> "Healed":
        return await use.faults.heal_many(cluster, None if everything else handles, progress=use.progress)

    return present(work, Manner(output=output, when_interrupted=_AGAIN), show_healed)


@fault.command("list")
@prints
def list_faults(cluster: Cluster, output: Output = OutputFormat.TABLE) -> "list[NetFaultInfo]":
    """List the faults that are wanted now, and whether they are applied."""
    from reconciler.frontends.cli.fault_tables import show_faults

    async def work(use: CommandUseCases) -> "list[NetFaultInfo]":
        return await use.faults.listing(cluster)

    return present(work, Manner(output=output), show_faults)


@fault.command()
@prints
def explain(
    cluster: Cluster,
    sender: Annotated[str, typer.Argument(metavar="FROM", help="A node, or @host.", autocompletion=complete_node)],
    receiver: Annotated[str, typer.Argument(metavar="TO", help="A node, or @host.", autocompletion=complete_node)],
    output: Output = OutputFormat.TABLE,
) -> "LinkExplanation":
    """Say what packets from one node to another meet, and because of which faults."""
    from reconciler.frontends.cli.fault_tables import show_explanation

    async def work(use: CommandUseCases) -> "LinkExplanation":
        return await use.faults.explain(cluster, sender, receiver)

    return present(work, Manner(output=output), show_explanation)


@fault.command()
@prints
def verify(
    cluster: Cluster,
    nodes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NODE]...", help="Between these; left out: all.", autocompletion=complete_node),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, max=10_000, help="Packets per link; left out: as many as needed."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "FaultVerification":
    """Measure between guests whether the faults do what they should: who hears whom, how late, how much is lost.

    Every node sends to all others at once. Exits 1 where a link contradicts the faults.
    """
    from reconciler.frontends.cli.fault_tables import show_verification

    async def work(use: CommandUseCases) -> "FaultVerification":
        from reconciler.usecases.fault_verification import FaultVerifier

        return await FaultVerifier(use.runtime).verify(cluster, nodes or (), count=count)

    verification = present(work, Manner(output=output), show_verification)
    return ending(verification, 0 if verification.sound else FAILURE)


def names_in(group: str) -> tuple[str, ...]:
    """The names in `a,b`; an empty word is an empty group, which is refused where the fault is made."""
    return tuple(name for name in group.split(",") if name)


def parse_drops(drops: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`TO=FROM,FROM` words: a node, and whom it does not hear any more."""
    seen: set[str] = set()
    for drop in drops:
        receiver, equals, senders = drop.partition("=")
        if not (receiver and equals and names_in(senders)):
            raise typer.BadParameter(f"{drop!r} is not TO=FROM,FROM", param_hint="--drop")
        if receiver in seen:
            raise typer.BadParameter(f"{receiver!r} is given twice", param_hint="--drop")
        seen.add(receiver)
        yield receiver, names_in(senders)


def _named(sides: tuple[tuple[str, ...], ...], shape: ShapeChoice) -> tuple[tuple[str, ...], ...] | None:
    return sides if sides or shape is ShapeChoice.GROUPS else None


def _inject(
    inject: "Callable[[CommandUseCases], Awaitable[NetFaultHandle]]",
    cluster: str,
    held: str | None,
    manner: Manner,
    show: "Callable[[NetFaultHandle], None]",
) -> "NetFaultHandle":
    if held is None:
        return present(inject, manner, show)
    raise typer.Exit(hold(inject, cluster, words_of(held), manner))
