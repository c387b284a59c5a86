"""What the host's KVM is good for, found out once in each process of tests, as once per boot of a user's host."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from structlog.testing import capture_logs

from reconciler.host.virt_type import probe_kvm
from reconciler.host.virt_type.probe import MEMORY_FILE


def give_kvm_verdict(state_dir: Path) -> None:
    """Have the product remember it there; like any verdict, it is not believed where the device has changed since."""
    if (verdict := _remembered()) is not None:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (state_dir / MEMORY_FILE).write_bytes(verdict)


@cache
def _remembered() -> bytes | None:
    """None where there is nothing to remember, as without a device."""
    # Tests call this in an event loop too, and a thread may have one of its own. What they print is no business of it.
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as thread, capture_logs():
        thread.submit(asyncio.run, probe_kvm(Path(name))).result()
        memory = Path(name) / MEMORY_FILE
        return memory.read_bytes() if memory.exists() else None
