"""Prints results as columns without lines, as kubectl does."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconciler.frontends.cli.text import one_line, printable, short_id
from reconciler.model.results import ClusterHandle, ClusterStatus, ClusterSummary, NodeStatus
from reconciler.model.status import Condition, ConditionStatus
from reconciler.records.change import Change

_UNLIMITED_COLUMNS = 10_000
"""The width of lines that are not printed to a terminal, which are not wrapped."""

STATE_STYLES = {"running": "green", "crashed": "red", "paused": "yellow", "True": "green", "False": "yellow"}
_SHOWN_CHANGES = 6


def print_columns(
    headers: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str] = {}, *, empty: str = ""
) -> None:
    """Print rows below headers, or `empty` without any; a cell whose text is a key of `styles` gets that style."""
    people = sys.stdout.isatty()
    text = StringIO()  # not standard output: Rich exits the process by itself when the reader of its file is gone
    console = Console(
        file=text,
        force_terminal=True if people else None,
        width=None if people else _UNLIMITED_COLUMNS,
        highlight=False,
    )
    table = columns_of(headers, rows, styles)
    if empty and not table.rows:
        _line(empty)
        return
    console.print(table)
    for line in text.getvalue().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def columns_of(headers: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str] = {}) -> Table:
    """The table itself, every cell of which is one line of safe text."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell), styles.get(cell, "")) for cell in row))
    return table


def show_status(status: ClusterStatus) -> None:
    """A cluster: its nodes, then its conditions."""
    if not status.nodes:
        _line(f"cluster {status.cluster_name} is destroyed")
        return
    network = "active" if status.network_active else "inactive"
    behind = "" if status.observed_generation >= status.generation else f" (observed {status.observed_generation})"
    origin = f", forked from {status.forked_from}" if status.forked_from else ""
    _line(f"cluster {status.cluster_name}{origin}, network {network}, generation {status.generation}{behind}")
    _line()
    _show_nodes(status.nodes)
    if status.conditions:
        _line()
        _show_conditions(status.conditions)


def show_statuses(statuses: Sequence[ClusterStatus]) -> None:
    """Several clusters, one after the other."""
    for number, status in enumerate(statuses):
        if number:
            _line()
        show_status(status)
    if not statuses:
        _line("no clusters")


def show_node(node: NodeStatus) -> None:
    """One node as a table of one row."""
    _show_nodes([node])


def show_clusters(clusters: Sequence[ClusterSummary]) -> None:
    """All clusters, one line each; where any is a fork, also of what."""
    forks = any(c.forked_from for c in clusters)
    print_columns(
        ["CLUSTER", "NODES", "WANTED", "READY", "GENERATION", *(["FORKED FROM"] if forks else [])],
        (
            [c.cluster_name, str(c.node_count), _wanted(c), _ready(c.conditions), str(c.generation)]
            + ([c.forked_from or "-"] if forks else [])
            for c in clusters
        ),
        STATE_STYLES,
        empty="no clusters; create one with `vmcluster apply TOPOLOGY`",
    )
    for cluster in clusters:
        if cluster.unreadable:
            _line(cluster.unreadable)


def show_handle(handle: ClusterHandle, commands: Sequence[str]) -> None:
    """How to log in to each node, as commands to paste."""
    rows = ([n.name, n.role, handle.kernel_versions[n.name], c] for n, c in zip(handle.nodes, commands, strict=True))
    print_columns(["NODE", "ROLE", "KERNEL", "LOGIN"], rows)
    for name, error in handle.unreachable.items():
        _line(f"{name} is not included: {error.message}")
    if disks := [[node.name, disk.guest_path, disk.path] for node in handle.nodes for disk in node.extra_disks]:
        _line()
        print_columns(["NODE", "DISK IN THE GUEST", "FILE"], disks)


def show_history(entries: Sequence[Change]) -> None:
    """The changes of a record, oldest first."""
    print_columns(
        ["GENERATION", "AT", "BY", "CHANGE"],
        ([str(e.generation), utc_time(e.at), e.actor, _first(e.changes)] for e in entries),
        empty="no changes",
    )


def _first(changes: Sequence[str]) -> str:
    """The first parts of a change, and the number of others."""
    more = len(changes) - _SHOWN_CHANGES
    return "; ".join([*changes[:_SHOWN_CHANGES], *([f"{more} more"] if more > 0 else [])])


def utc_time(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _show_nodes(nodes: Sequence[NodeStatus]) -> None:
    """A row per node; the column for the installed artifact is shown only if there is one."""
    artifacts = any(node.artifact_id_installed for node in nodes)
    headers = ["NODE", "ROLE", "IP", "STATE", "SSH", *(["ARTIFACT"] if artifacts else []), "MESSAGE"]
    print_columns(headers, (_node_row(node, artifacts=artifacts) for node in nodes), STATE_STYLES)


def _node_row(node: NodeStatus, *, artifacts: bool) -> list[str]:
    running = node.domain_state == "running"
    ssh = ("yes" if node.ssh_reachable else "no") if running else "-"
    installed = [short_id(node.artifact_id_installed or "-")] if artifacts else []
    return [node.name, node.role, node.ip, node.domain_state.value, ssh, *installed, _why(node)]


def _why(node: NodeStatus) -> str:
    """What is wrong with a node, including why a running one accepts no login."""
    silent = node.ssh_error.message if node.ssh_error and node.domain_state == "running" else ""
    return node.message or silent.removeprefix(f"node {node.name}: ")


def _show_conditions(conditions: Iterable[Condition]) -> None:
    print_columns(
        ["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"],
        ([c.type.value, c.status.value, c.reason, utc_time(c.last_transition), c.message] for c in conditions),
        STATE_STYLES,
    )


def _wanted(cluster: ClusterSummary) -> str:
    if cluster.unreadable:
        return "unreadable"
    if cluster.destroyed:
        return "destroyed, disks kept"
    return f"{cluster.wanted_running} running"


def _ready(conditions: Iterable[Condition]) -> str:
    return next((c.status.value for c in conditions if c.type.value == "Ready"), ConditionStatus.UNKNOWN.value)


def _line(text: str = "") -> None:
    sys.stdout.write(printable(text) + "\n")
