"""Prints snapshots."""

from collections.abc import Iterator, Mapping, Sequence

import typer

from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import one_line, printable
from reconciler.model.results import SnapshotDeleteResult, SnapshotInfo
from reconciler.usecases.revert_losses import NodeLoss, RevertLosses
from reconciler.usecases.snapshot_tree import SnapshotPlace, SnapshotTree
from reconciler.usecases.snapshot_upkeep import Unneeded, UnneededLayer, Verification

_STYLES = {"lost": "red"}
_BYTES_PER_UNIT = 1024


def show_snapshots(snapshots: Sequence[SnapshotInfo]) -> None:
    """All snapshots of a cluster, one line each."""
    print_columns(
        ["SNAPSHOT", "TAKEN", "MEMORY", "SIZE", "PAUSE"],
        map(_snapshot_row, snapshots),
        _STYLES,
        empty="no snapshots; take one with `vmcluster snapshot create CLUSTER NAME`",
    )


def show_snapshot(info: SnapshotInfo) -> None:
    """The files of one snapshot."""
    if info.lost or info.created_at is None:
        typer.echo(f"snapshot {one_line(info.snapshot_name)} is lost: it was taken, but its files are gone")
        return
    typer.echo(printable(f"snapshot {info.snapshot_name}, {_taken(info)}\n"))
    print_columns(["NODE", "THEN", "PART", "SIZE", "FILE"], _file_rows(info))


def show_created(info: SnapshotInfo) -> None:
    """A snapshot that was just taken, in one line."""
    memory = " with memory" if info.include_memory else ""
    pause = f"; nodes were paused for {_duration(info.pause_s)}" if info.pause_s else ""
    typer.echo(printable(f"snapshot {info.snapshot_name}{memory} takes {size(_size_bytes(info))}{pause}"))


def show_deleted(result: SnapshotDeleteResult) -> None:
    """What a deletion did."""
    typer.echo(f"snapshot {one_line(result.snapshot_name)} deleted")
    for node in result.per_node.values():
        if not node.deleted:
            typer.echo(printable(f"  {node.node_name}: {node.error}"))


def loss_lines(losses: RevertLosses) -> Iterator[str]:
    """What each node loses by a revert, and which snapshots keep it."""
    since = f", as of {utc_time(losses.created_at)}" if losses.created_at else ""
    yield f"reverting to snapshot {one_line(losses.snapshot_name)}{since}; changes since then will be lost:"
    width = max((len(node) for node in losses.per_node), default=0)
    for node, loss in losses.per_node.items():
        yield f"  {one_line(node):<{width}}  {_loss(loss, losses.snapshot_name)}"
    yield f"to keep all of it, first run `vmcluster snapshot create {one_line(losses.cluster_name)} NAME --memory`"


def _loss(loss: NodeLoss, target: str) -> str:
    memory = {True: "its memory and ", False: "", None: "its memory, if it runs, and "}[loss.memory]
    written = "what it wrote" if loss.written_bytes is None else f"{size(loss.written_bytes)} on its disks"
    if loss.kept_by in (None, target):
        return f"{memory}{written}; no snapshot keeps any of it"
    until = f", up to {utc_time(loss.kept_until)}" if loss.kept_until else ""
    return f"{memory}{written}; snapshot {one_line(loss.kept_by)} keeps what came before it{until}"


def show_tree(tree: SnapshotTree) -> None:
    """The tree of snapshots."""
    for line in tree_lines(tree):
        typer.echo(line)


def show_snapshot_checks(verification: Verification) -> None:
    """The result of each snapshot's check."""
    if not verification.snapshots:
        typer.echo("no snapshots")
    for check in verification.snapshots:
        sign, color = ("✗", "red") if check.findings else ("✓", "green")
        typer.secho(f"{sign} {one_line(check.snapshot_name)}", fg=color)
        for problem in check.findings:
            typer.echo(f"    {one_line(problem)}")
    for line in _elsewhere_lines(verification.nodes_elsewhere):
        typer.echo(line)


def show_unneeded(unneeded: Unneeded) -> None:
    """What can be removed, or was."""
    for line in unneeded_lines(unneeded):
        typer.echo(line)


def tree_lines(tree: SnapshotTree) -> Iterator[str]:
    """The tree, each snapshot below its parent, with the nodes that are at it now."""
    yield f"{one_line(tree.cluster_name)}{_here(tree, None)}"
    yield from _branches(tree, None, "")
    for name in tree.lost_snapshots:
        yield f"✗ {one_line(name)}  lost"


def unneeded_lines(unneeded: Unneeded) -> Iterator[str]:
    """Each layer with its size on disk, and the total."""
    for name in unneeded.half_made:
        yield f"snapshot {one_line(name)}  was interrupted while it was taken"
    for layer in unneeded.layers:
        yield f"{size(layer.size_bytes):>9}  {one_line(str(layer.path))}{_remark(layer)}"
    gone = [layer for layer in unneeded.layers if (layer.removed if unneeded.removed else not layer.held)]
    total = size(sum(layer.size_bytes for layer in gone))
    if not (unneeded.layers or unneeded.half_made):
        yield "nothing to remove: every layer is needed"
    else:
        layers = "1 layer" if len(gone) == 1 else f"{len(gone)} layers"
        yield f"{layers}, {total}: {'removed' if unneeded.removed else 'can be removed'}"
    yield from _elsewhere_lines(unneeded.nodes_elsewhere)


def size(size_bytes: int) -> str:
    """A size with at most three digits before its unit."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _BYTES_PER_UNIT:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= _BYTES_PER_UNIT
    return f"{amount:.1f} TiB"


def _elsewhere_lines(nodes: Mapping[str, str]) -> Iterator[str]:
    """Where the files are that an answer does not speak of."""
    for host in dict.fromkeys(nodes.values()):
        away = ", ".join(one_line(node) for node, of in nodes.items() if of == host)
        yield f"the files of {away} are on host {one_line(host)}: run this command there too"


def _snapshot_row(info: SnapshotInfo) -> list[str]:
    if info.created_at is None:
        return [info.snapshot_name, "lost", "-", "-", "-"]
    pause = _duration(info.pause_s) if info.pause_s else "-"
    return [
        info.snapshot_name,
        utc_time(info.created_at),
        "yes" if info.include_memory else "no",
        size(_size_bytes(info)),
        pause,
    ]


def _file_rows(info: SnapshotInfo) -> Iterator[list[str]]:
    for node in info.per_node.values():
        for target, file in node.disks.items():
            yield [node.node_name, node.power, target, size(file.size_bytes), file.path]
        if node.memory_path is not None:
            yield [node.node_name, node.power, "memory", size(node.memory_bytes), node.memory_path]


def _taken(info: SnapshotInfo) -> str:
    assert info.created_at is not None
    memory = "with memory" if info.include_memory else "without memory"
    return f"taken {utc_time(info.created_at)} {memory}, {size(_size_bytes(info))}"


def _branches(tree: SnapshotTree, parent: str | None, indent: str) -> Iterator[str]:
    children = [place for place in tree.snapshots if place.parent == parent]
    for place in children:
        last = place is children[-1]
        yield f"{indent}{'└─' if last else '├─'} {_place(place)}{_here(tree, place.snapshot_name)}"
        yield from _branches(tree, place.snapshot_name, indent + ("   " if last else "│  "))


def _place(place: SnapshotPlace) -> str:
    memory = ", memory" if place.include_memory else ""
    return f"{one_line(place.snapshot_name)}  {utc_time(place.created_at)}{memory}"


def _here(tree: SnapshotTree, name: str | None) -> str:
    nodes = [node for node, stands_on in tree.standing_on.items() if stands_on == name]
    if not nodes:
        return ""
    return f"  ← {'all nodes' if len(nodes) == len(tree.standing_on) > 1 else ', '.join(map(one_line, nodes))}"


def _remark(layer: UnneededLayer) -> str:
    if layer.removed:
        return ""
    return f"  stays until {one_line(layer.node)} is off" if layer.held else ""


def _size_bytes(info: SnapshotInfo) -> int:
    return sum(node.size_bytes for node in info.per_node.values())


def _duration(duration_s: float) -> str:
    return f"{duration_s * 1000:.0f} ms" if duration_s < 1 else f"{duration_s:.1f} s"
