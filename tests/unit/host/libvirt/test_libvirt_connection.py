"""What becomes of calls when libvirt refuses, is lost or hangs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import libvirt
import pytest

from reconciler.errors import LibvirtUnavailable, OperationFailed
from reconciler.host.libvirt import libvirt_connection
from reconciler.host.libvirt.libvirt_connection import LibvirtConnection, LibvirtSilent, as_cluster_error

LIMIT_S = 0.2
THREADS = 8


class Refusal(libvirt.libvirtError):  # type: ignore[misc]
    """What libvirt raises, made without a libvirt."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.err = (code, 0, message, 2, "", "", "", 0, 0)


def test_a_lost_connection_can_be_had_again_and_a_refusal_is_told_as_it_is() -> None:
    assert isinstance(as_cluster_error(Refusal(libvirt.VIR_ERR_RPC, "end of file")), LibvirtUnavailable)
    refused = as_cluster_error(Refusal(libvirt.VIR_ERR_OPERATION_FAILED, "no space"), node="n0")
    assert isinstance(refused, OperationFailed)
    assert (refused.message, refused.node, refused.hint) == ("libvirt refused: no space", "n0", None)


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_a_flushed_firewall_is_named_with_its_remedy(program: str) -> None:
    message = f"internal error: Failed to apply firewall rules /usr/sbin/{program}: No chain/target/match by that name."
    hint = as_cluster_error(Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, message)).hint
    assert hint
    assert "restart libvirtd" in hint


class Daemon:
    """A libvirtd that can hang: then no call to it returns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.awake = threading.Event()
        self.awake.set()
        self.actions: list[str] = []
        monkeypatch.setattr(libvirt, "open", lambda _uri: self)
        monkeypatch.setattr(libvirt_connection, "ANSWER_TIMEOUT_S", LIMIT_S)
        monkeypatch.setattr(libvirt_connection, "_PROBE_INTERVAL_S", LIMIT_S / 4)

    def act(self, name: str, *, takes_s: float = 0.0) -> str:
        self.awake.wait()
        time.sleep(takes_s)
        self.actions.append(name)
        return name

    def isAlive(self) -> bool:  # noqa: N802  as libvirt-python calls it
        return False

    def close(self) -> None:
        self.awake.wait()


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    return Daemon(monkeypatch)


@pytest.fixture
def hanging(daemon: Daemon) -> Iterator[Daemon]:
    daemon.awake.clear()
    yield daemon
    daemon.awake.set()


def test_an_action_may_take_as_long_as_libvirt_answers_others(daemon: Daemon) -> None:
    async def act() -> str:
        return await LibvirtConnection("test:///x").call(
            "lab", lambda handle: str(handle.act("save", takes_s=3 * LIMIT_S))
        )

    assert asyncio.run(act()) == "save"


def test_an_action_on_a_libvirt_that_hangs_fails_and_its_cluster_is_looked_at_when_it_has_ended(
    hanging: Daemon,
) -> None:
    async def act() -> None:
        line = LibvirtConnection("test:///x")
        with pytest.raises(LibvirtSilent, match="has not answered"):
            await line.call("lab", lambda handle: handle.act("start", takes_s=LIMIT_S / 2))
        await line.settle("other")
        with pytest.raises(LibvirtSilent):
            await line.settle("lab")
        assert not hanging.actions
        hanging.awake.set()
        await line.settle("lab")
        assert hanging.actions == ["start"]

    asyncio.run(act())


def test_actions_that_no_thread_has_begun_when_libvirt_hangs_are_never_carried_out(hanging: Daemon) -> None:
    async def act() -> None:
        line = LibvirtConnection("test:///x")
        given_up = [line.call("lab", partial(Daemon.act, name=str(number))) for number in range(THREADS + 2)]
        outcomes = await asyncio.gather(*given_up, return_exceptions=True)
        assert all(isinstance(outcome, LibvirtSilent) for outcome in outcomes)
        hanging.awake.set()
        await line.settle("lab")
        assert len(hanging.actions) == THREADS

    asyncio.run(act())


def test_an_action_that_was_given_up_is_not_made_again_on_another_connection(hanging: Daemon) -> None:
    tries = []

    def act(handle: Any) -> None:
        tries.append("start")
        handle.act("start")
        raise Refusal(libvirt.VIR_ERR_RPC, "end of file")

    async def give_up() -> None:
        line = LibvirtConnection("test:///x")
        with pytest.raises(LibvirtSilent):
            await line.call("lab", act)
        hanging.awake.set()
        await line.settle("lab")

    asyncio.run(give_up())
    assert tries == ["start"]
