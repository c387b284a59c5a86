"""Bringing a guest's /etc/hosts up to date, with a stand-in for a guest that ends meanwhile."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from structlog.testing import capture_logs

from reconciler.act import execute
from reconciler.act.context import ActContext
from reconciler.guest.address import GuestAddress


async def test_a_machine_that_has_ended_is_not_waited_for() -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def is_active(_cluster: str, _node: str) -> bool:
        return False

    address = GuestAddress(
        cluster="lab", node="n0", host="127.0.0.1", user="root", key_path=Path("/no/key"), host_key="ssh-ed25519 AAAA"
    )
    context = SimpleNamespace(
        cluster="lab",
        ssh=SimpleNamespace(run=never),
        libvirt=SimpleNamespace(is_active=is_active),
        address_of=lambda _node: address,
    )
    with capture_logs() as logs:
        async with asyncio.timeout(30):
            await execute._update_hosts("n0", "127.0.0.1 localhost\n", cast("ActContext", context))
    (told,) = logs
    assert told["event"] == "the node updates its /etc/hosts at its next boot"
    assert "it has shut down in the meantime" in told["cause"]
