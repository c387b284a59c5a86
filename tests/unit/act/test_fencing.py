"""What takes long inside an action may outlast the host's lease: nothing that cannot be undone is done after it."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.act.context import ActContext
from reconciler.act.execute import execute
from reconciler.errors import HostFenced
from reconciler.files.marked_files import bind_copies
from reconciler.files.ownership import OwnedKind, OwnerMark, read_mark, write_mark
from reconciler.model.choices import StopMode
from reconciler.model.plan import Action, CreateNetwork, CutPower, DeleteLayer
from tests.simulation.worlds import as_wanted, running_record


class Lease:
    """A lease that ends during the first thing that is done on the host."""

    def __init__(self) -> None:
        self.over = False
        self.done: list[str] = []

    def require(self) -> None:
        if self.over:
            raise HostFenced("its lease is over")

    def __getattr__(self, name: str) -> Any:
        async def on_host(*_: object, **__: object) -> dict[str, object]:
            self.done.append(name)
            self.over = True
            return {}

        return on_host


NETWORK = next(iter(as_wanted(running_record("alpha")).networks.values()))


@pytest.mark.parametrize(
    ("action", "done"),
    [
        (CutPower(node="alpha", boot_epoch=1, mode=StopMode.SHUTDOWN, reason=""), ["shut_down", "is_active"]),
        (CreateNetwork(name="new", network=cast("Any", NETWORK), replaces=("old",), reason=""), ["delete_network"]),
        (DeleteLayer(node="alpha", path=Path("/none"), reason=""), ["find_domains"]),
    ],
)
async def test_an_action_does_not_go_on_to_what_cannot_be_undone(action: Action, done: list[str]) -> None:
    lease = Lease()
    context = SimpleNamespace(
        cluster="lab", record=running_record("alpha"), libvirt=lease, require_term=lease.require, origin=None
    )
    with pytest.raises(HostFenced):
        await execute(action, cast("ActContext", context))
    assert lease.done == done


def test_copies_are_bound_one_by_one_as_long_as_the_host_may_act(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    directory.mkdir()
    for name in ("a", "b"):
        file = tmp_path / name
        file.touch()
        write_mark(file, OwnerMark(cluster="lab", node="n1", kind=OwnedKind.SEED, facts={}))
        shutil.copy2(file, directory / name)
    asked: list[int] = []

    def require() -> None:
        asked.append(len(asked))
        if len(asked) > 2:
            raise HostFenced("its lease is over")

    with pytest.raises(HostFenced):
        bind_copies(tmp_path, "lab", (), require)
    assert [read_mark(directory / name) is not None for name in ("a", "b")] == [True, False]
