"""`vmcluster watch` that halts at a boundary of its actions: `python -m tests.integration.hosts.halting_controller`.

It says in `BOUNDARIES` which boundaries it has come to. At the one that `HALT` names, it stops itself as SIGSTOP does,
and the test that has named it decides what happens there.
"""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.daemon.entry import run_service
from reconciler.runtime import Runtime
from reconciler.settings import load_settings
from reconciler.store.etcd import etcd_membership

TTL_S = 5
"""Of a host's lease: a third of what users have, so that tests need not wait for so long."""

BOUNDARIES = Path("/var/lib/vmcluster/boundaries")
HALT = Path("/var/lib/vmcluster/halt")


def ask_to_halt(place: Path, boundary: str, count: int = 0) -> None:
    """Halt at the next boundary whose name begins so, after `count` others; `place` is the host's `HALT`."""
    place.with_suffix(".new").write_text(json.dumps([boundary, count]))
    place.with_suffix(".new").rename(place)


def boundaries_in(text: str) -> Iterator[tuple[int, str]]:
    """The process that came to each boundary, and the boundary."""
    for line in text.splitlines():
        process, _, name = line.partition(" ")
        yield int(process), name


def _come_to(name: str) -> None:
    with BOUNDARIES.open("a") as log:
        log.write(f"{os.getpid()} {name}\n")
    with suppress(FileNotFoundError):
        boundary, count = json.loads(HALT.read_text())
        if not name.startswith(boundary):
            pass
        elif count:
            ask_to_halt(HALT, boundary, count - 1)
        else:
            HALT.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)


async def _serve() -> None:
    settings = load_settings()
    async with Runtime(settings, checkpoint=_come_to) as runtime:
        await run_service(runtime, (), asyncio.Event(), resync_s=settings.resync_s, metrics_port=0)


if __name__ == "__main__":
    etcd_membership.TTL_S = TTL_S
    asyncio.run(_serve())
