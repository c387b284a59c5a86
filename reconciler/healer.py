"""The background process that heals faults: `python -m reconciler.healer CLUSTER [HANDLE | --leave]`.

With a handle it heals that fault when its standard input ends; without one, all faults of the cluster as they expire.
With `--leave` it takes this host out of the cluster's network when it no longer uses it.
See `reconciler.daemon.healing`.
"""

# ruff: noqa: PLC0415  the process that starts us waits until we have forked

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

LOG_MAX_BYTES = 1024 * 1024


def main(arguments: Sequence[str]) -> int:
    """Detach, then wait and heal; the first process exits immediately."""
    if os.fork() > 0:
        return 0
    os.chdir("/")
    asyncio.run(_heal(*arguments))
    return 0


async def _heal(cluster: str, handle: str | None = None) -> None:
    from reconciler.controller.healers import LEAVER
    from reconciler.daemon.healing import heal_in_time, heal_when_closed, leave_in_time
    from reconciler.runtime import Runtime
    from reconciler.settings import load_settings

    settings = load_settings()
    _log_to(settings.state_dir / "healers" / f"{cluster}.log")
    async with Runtime(settings) as runtime:
        if handle is None:
            await heal_in_time(runtime, cluster)
        elif handle == LEAVER:
            await leave_in_time(runtime, cluster)
        else:
            await heal_when_closed(runtime, cluster, handle, sys.stdin.fileno())


def _log_to(path: Path) -> None:
    """Log to a file, because nobody sees this process's output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    set_aside(path)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())


def set_aside(log: Path) -> None:
    """Rotate a log that has grown long; one healer adds little, because its attempts are bounded."""
    with suppress(FileNotFoundError):  # the first, or another healer does the same
        if log.stat().st_size > LOG_MAX_BYTES:
            log.replace(log.with_suffix(".log.1"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
