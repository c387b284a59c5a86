"""Commands for network faults."""

# ruff: noqa: PLC0415  imports wait until a command runs

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_fault, complete_node
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, valid_text
from reconciler.frontends.cli.other_words import CommandGroup
from reconciler.frontends.cli.output import exit_with, prints
from reconciler.frontends.cli.scoped_faults import HELD_COMMAND_HELP, HoldingCommand, hold, words_of
from reconciler.frontends.cli.session import FAILURE, RUN_AGAIN, CommandEnding, present
from reconciler.model.choices import CutMode, Direction, Distribution, ShapeName
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.faults.link_verdicts import FaultVerification
    from reconciler.model.faults import FaultRequest, LinkExplanation, NetFaultHandle, NetFaultInfo, PartitionRequest
    from reconciler.usecases.network_faults import Healed

app = Commands()
fault = Commands(
    cls=CommandGroup, help="Inject network faults between nodes, verify and heal them.", no_args_is_help=True
)
app.add_typer(fault, name="fault")

_STAYS_WANTED = "the fault stays requested: `vmcluster fault list` shows it, `vmcluster fault heal` removes it"


Handle = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[HANDLE]...",
        help="Handles of faults, or the topology's names for them.",
        autocompletion=complete_fault,
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[GROUP]...",
        help="Groups of nodes to cut off from each other, each a comma-separated list: a,b c,d",
        autocompletion=complete_node,
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration",
        metavar="SECONDS",
        help="Heal the fault after this time, even if `watch` is not running. Default: never.",
    ),
]
While = Annotated[str | None, typer.Option("--while", metavar="COMMAND...", help=HELD_COMMAND_HELP)]


@fault.command(
    cls=HoldingCommand, examples=("fault partition lab n0 n1,n2", "fault partition lab --shape halves --duration 60")
)
@prints
def partition(
    cluster: Cluster,
    groups: Groups = None,
    shape: Annotated[
        ShapeName,
        typer.Option(
            "--shape", help="How to group all nodes without naming groups; bridge takes two.", show_default=False
        ),
    ] = ShapeName.GROUPS,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NODE",
            help="The single node of the shapes one and bridge. Default: the first and the middle, or by --seed.",
            autocompletion=complete_node,
            callback=valid_text,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="TO=FROM,FROM", help="For the shape grudge: nodes FROM no longer reach node TO."
        ),
    ] = None,
    direction: Annotated[
        Direction,
        typer.Option("--direction", help="With two groups, `to` cuts only what the first sends to the second."),
    ] = Direction.BOTH,
    mode: Annotated[
        CutMode,
        typer.Option(
            "--mode", help="drop discards packets; link-down unplugs cables: the nodes notice, and SSH to them ends."
        ),
    ] = CutMode.DROP,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="NUMBER", help="Shuffle the nodes with this seed before the groups are built."),
    ] = None,
    duration: Duration = None,
    held: While = None,
    output: Output = OutputFormat.TABLE,
) -> "NetFaultHandle":
    """Cut the network between groups of nodes.

    IPv4, IPv6, ARP, broadcast and established connections are cut.
    """
    sides = tuple(map(split_names, groups or ()))
    grudge = dict(parse_drops(drop)) if drop else None

    def request() -> "PartitionRequest":
        from reconciler.faults.requests import Sides, partition_request

        who = Sides(shape=shape, groups=_named(sides, shape), node=node, grudge=grudge)
        return partition_request(who, direction=direction, mode=mode, seed=seed)

    return _inject(cluster, request, duration, held, output)


@fault.command(cls=HoldingCommand, examples=("fault impair lab n0 n1 --delay 100 --loss 1",))
@prints
def impair(
    cluster: Cluster,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The node that sends.", autocompletion=complete_node)],
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...", help="Nodes that receive. Default: all others.", autocompletion=complete_node
        ),
    ] = None,
    delay: Annotated[float, typer.Option("--delay", metavar="MS", help="Delay added to each packet.")] = 0.0,
    jitter: Annotated[float, typer.Option("--jitter", metavar="MS", help="Variation of the delay.")] = 0.0,
    distribution: Annotated[
        Distribution, typer.Option("--distribution", help="Distribution of the delay within its jitter.")
    ] = Distribution.UNIFORM,
    delay_correlation: Annotated[
        float, typer.Option("--delay-correlation", metavar="PCT", help="How far a delay depends on the last packet's.")
    ] = 0.0,
    loss: Annotated[float, typer.Option("--loss", metavar="PCT", help="Packets that are lost.")] = 0.0,
    loss_correlation: Annotated[
        float, typer.Option("--loss-correlation", metavar="PCT", help="How far losses come in bursts.")
    ] = 0.0,
    duplicate: Annotated[float, typer.Option("--duplicate", metavar="PCT", help="Packets sent twice.")] = 0.0,
    corrupt: Annotated[float, typer.Option("--corrupt", metavar="PCT", help="Packets with a bit flipped.")] = 0.0,
    reorder: Annotated[float, typer.Option("--reorder", metavar="PCT", help="Packets that overtake delayed ones.")] = 0,
    reorder_correlation: Annotated[
        float, typer.Option("--reorder-correlation", metavar="PCT", help="How far overtaking comes in bursts.")
    ] = 0.0,
    reorder_gap: Annotated[int, typer.Option("--reorder-gap", metavar="N", help="Only every N-th may overtake.")] = 0,
    rate: Annotated[int, typer.Option("--rate", metavar="KBIT", help="Bandwidth limit in kbit/s.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="PACKETS", help="Length of the queue in packets.")] = 0,
    direction: Annotated[
        Direction, typer.Option("--direction", help="`to` affects what SOURCE sends, `from` what is sent to it.")
    ] = Direction.TO,
    include_host: Annotated[
        bool, typer.Option("--include-host", help="Also impair traffic with the host, SSH included.")
    ] = False,
    duration: Duration = None,
    held: While = None,
    output: Output = OutputFormat.TABLE,
) -> "NetFaultHandle":
    """Delay, drop, corrupt or slow down only what one node sends."""

    def request() -> "FaultRequest":
        from reconciler.faults.requests import impair_request
        from reconciler.model.links import Impairment

        asked = Impairment(
            delay_ms=delay,
            jitter_ms=jitter,
            delay_correlation_pct=delay_correlation,
            distribution=distribution,
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
        named = [name for target in targets or () for name in split_names(target)] or None
        return impair_request(source, named, asked, direction=direction, include_host=include_host)

    return _inject(cluster, request, duration, held, output)


@fault.command(examples=("fault heal lab partition-1", "fault heal lab --all"))
@prints
def heal(
    cluster: Cluster,
    handles: Handle = None,
    everything: Annotated[bool, typer.Option("--all", help="Heal all faults of the cluster.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "Healed":
    """Heal faults. Healing a fault that is already gone succeeds."""
    if everything is bool(handles):
        raise typer.BadParameter("name the faults to heal, or pass --all")

    return present(
        lambda use: use.faults.heal_many(cluster, None if everything else handles),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
    )


@fault.command("list", examples=("fault list lab",))
@prints
def list_faults(cluster: Cluster, output: Output = OutputFormat.TABLE) -> "list[NetFaultInfo]":
    """List the desired faults, and whether they are applied."""
    return present(lambda use: use.faults.listing(cluster), CommandEnding(output=output))


@fault.command(examples=("fault explain lab n0 n1",))
@prints
def explain(
    cluster: Cluster,
    sender: Annotated[str, typer.Argument(metavar="FROM", help="A node, or @host.", autocompletion=complete_node)],
    receiver: Annotated[str, typer.Argument(metavar="TO", help="A node, or @host.", autocompletion=complete_node)],
    output: Output = OutputFormat.TABLE,
) -> "LinkExplanation":
    """Explain what faults do to packets between two nodes."""
    return present(lambda use: use.faults.explain(cluster, sender, receiver), CommandEnding(output=output))


@fault.command(examples=("fault verify lab",))
@prints
def verify(
    cluster: Cluster,
    nodes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NODE]...", help="Measure between these nodes. Default: all.", autocompletion=complete_node
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", metavar="N", min=1, max=10_000, help="Packets per link. Default: as many as needed."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "FaultVerification":
    """Measure between the guests whether faults have their effect.

    Reachability, delay and loss are measured.

    All nodes send to all others at the same time. Exits 1 when a link contradicts the faults.
    """

    async def work(use: UseCases) -> "FaultVerification":
        from reconciler.usecases.fault_verification import FaultVerifier

        return await FaultVerifier(use.runtime).verify(cluster, nodes, count=count)

    verification = present(work, CommandEnding(output=output))
    return exit_with(verification, 0 if verification.sound else FAILURE)


def split_names(group: str) -> tuple[str, ...]:
    """The names in `a,b`; an empty word is an empty group, which injecting the fault refuses."""
    return tuple(name for name in group.split(",") if name)


def parse_drops(drops: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`TO=FROM,FROM` words as a mapping: a node, and the nodes whose packets no longer reach it."""
    seen: set[str] = set()
    for drop in drops:
        receiver, equals, senders = drop.partition("=")
        if not (receiver and equals and split_names(senders)):
            raise typer.BadParameter(f"{drop!r} is not TO=FROM,FROM", param_hint="--drop")
        if receiver in seen:
            raise typer.BadParameter(f"{receiver!r} is given twice", param_hint="--drop")
        seen.add(receiver)
        yield receiver, split_names(senders)


def _named(sides: tuple[tuple[str, ...], ...], shape: ShapeName) -> tuple[tuple[str, ...], ...] | None:
    return sides if sides or shape is ShapeName.GROUPS else None


def _inject(
    cluster: str,
    request: "Callable[[], FaultRequest]",
    duration_s: float | None,
    held: str | None,
    output: OutputFormat,
) -> "NetFaultHandle":
    how_to_end = CommandEnding(output=output, when_interrupted=_STAYS_WANTED)
    if held is None:
        return present(lambda use: use.faults.inject(cluster, request(), duration_s=duration_s), how_to_end)

    async def inject(use: "UseCases") -> "tuple[NetFaultHandle, int]":
        return await use.faults.inject_held(cluster, request(), duration_s=duration_s)

    raise typer.Exit(hold(inject, cluster, words_of(held), how_to_end))
