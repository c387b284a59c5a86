"""The table of what nodes use, printed or live."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from reconciler.frontends.cli.tables import STATE_STYLES, columns_of, print_columns
from reconciler.model.node_load import NodeLoad

_COLUMNS = ("CLUSTER", "NODE", "STATE", "CPU", "OF", "MEMORY", "READ", "WRITTEN", "RECEIVED", "SENT")
_NOTHING = "no nodes on this host"
_UNITS = ("B", "KiB", "MiB", "GiB")
_STEP = 1024


def show_loads(loads: Sequence[NodeLoad]) -> None:
    """One line for each node."""
    print_columns(_COLUMNS, map(_row, loads), STATE_STYLES, empty=_NOTHING)


@contextmanager
def live_loads() -> Iterator[Callable[[Sequence[NodeLoad]], None]]:
    """A table on the terminal that each call replaces; what does not fit is counted."""
    console = Console(highlight=False)

    def drawn(loads: Sequence[NodeLoad]) -> Group:
        fitting = max(1, console.height - 3)
        shown = loads if len(loads) <= fitting else loads[:fitting]
        more = [Text(f"… and {len(loads) - len(shown)} more")] if len(shown) < len(loads) else []
        return Group(columns_of(_COLUMNS, map(_row, shown), STATE_STYLES), *more) if loads else Group(Text(_NOTHING))

    with Live(console=console, auto_refresh=False) as live:
        yield lambda loads: live.update(drawn(loads), refresh=True)


def size_of(count: float | None, per: str = "") -> str:
    """A number of bytes in its largest unit, to three digits; - if it is not known."""
    if count is None:
        return "-"
    unit = _UNITS[0]
    for larger in _UNITS[1:]:
        if count < _STEP:
            break
        count, unit = count / _STEP, larger
    return f"{count:.0f} {unit}{per}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}{per}"  # noqa: PLR2004  three digits


def _row(load: NodeLoad) -> list[str]:
    disks = (load.disk_read_bytes_per_s, load.disk_written_bytes_per_s)
    network = (load.received_bytes_per_s, load.sent_bytes_per_s)
    memory = f"{size_of(load.resident_bytes)} / {size_of(load.memory_bytes)}"
    return [
        load.cluster_name,
        load.node_name,
        load.domain_state.value,
        "-" if load.cpu_pct is None else f"{load.cpu_pct:.0f} %",
        "-" if load.vcpus is None else f"{100 * load.vcpus} %",
        "-" if load.resident_bytes is None else memory,
        *(size_of(rate, "/s") for rate in (*disks, *network)),
    ]
