"""Boots are reported stage by stage, from the console alone."""

from pathlib import Path

import pytest

from reconciler.health import boots_watched
from reconciler.health.boots_watched import boots_reported
from reconciler.model.names import console_path
from reconciler.progress import Progress
from tests.unit.store.samples import sample_record
from tests.waiting import eventually


async def test_each_new_stage_of_a_node_that_is_waited_for_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boots_watched, "_PAUSE_S", 0.001)
    record = sample_record()
    record = record.model_copy(update={"spec": record.spec.model_copy(update={"overlay_dir": tmp_path})})
    consoles = {node: console_path(tmp_path, "lab", node) for node in ("alpha", "zeta")}
    consoles["alpha"].parent.mkdir(parents=True, exist_ok=True)
    for path in consoles.values():
        path.write_bytes(b"of the boot before: n0 login: ")
    said: list[str] = []
    waiting = dict.fromkeys(consoles)

    async def prints(node: str, text: bytes, expected: str) -> None:
        with consoles[node].open("ab") as console:
            console.write(text)
        await eventually(lambda: said[-1:] == [expected])

    async with boots_reported(record, waiting, set(consoles), Progress(said.append)):
        await prints("alpha", b"?\n", "alpha: its console is alive")
        await prints("alpha", b"Linux version 6.1\n", "alpha: kernel")
        await prints("zeta", b"SeaBIOS\n", "zeta: firmware")
        await prints("alpha", b"odd\nLinux version 6.1\nsystemd[1]: x\n", "alpha: services")
        del waiting["alpha"]
        with consoles["alpha"].open("ab") as console:
            console.write(b"n0 login: ")
        await prints("zeta", b"GRUB loading\n", "zeta: boot loader")
    assert len(said) == 5


async def test_a_node_on_another_host_and_a_console_that_is_not_there_are_reported_by_nobody(tmp_path: Path) -> None:
    record = sample_record()
    said: list[str] = []
    async with boots_reported(record, ["alpha", "zeta"], {"zeta"}, Progress(said.append)):
        pass
    assert said == []
