"""Programs that keep what is a machine's own, started again and held back before they read it.

Most of a start is the same on every machine, and costs much where a guest is emulated. So such a program is started
while the machine still waits, with a pipe in place of a file that it reads, and goes on when the pipe is written.
"""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

_PIPES = "/run/vmcluster"
_PROCESSES = "/sys/fs/cgroup/system.slice/{}/cgroup.procs"
_OPENS_A_PIPE = "wait_for_partner"
"""Where in the kernel a process waits that opens a pipe to which nobody writes (fs/pipe.c)."""
_POLL_S, _PATIENCE_S = 0.05, 60.0
_MS_BIND, _MNT_DETACH = 4096, 2


@dataclass(frozen=True)
class HeldBack:
    """A unit's program that waits for a file's content."""

    file: str
    pipe: str

    def let_go(self) -> None:
        """Give the program what the file contains now."""
        with open(self.file) as file, os.fdopen(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK), "w") as pipe:
            pipe.write(file.read())
        os.unlink(self.pipe)


def hold_back(unit: str, file: str, start: Callable[[], object] | None = None) -> HeldBack:
    """Start the unit's program again (`start`: otherwise than by systemd), and wait until it opens the file.

    Raises `TimeoutError` if it does not.
    """
    pipe = f"{_PIPES}/{unit}"
    os.makedirs(_PIPES, exist_ok=True)
    os.mkfifo(pipe)
    os.chmod(pipe, os.stat(file).st_mode & 0o777)
    mount(pipe, file)
    if start is None:
        subprocess.run(["systemctl", "restart", "--no-block", unit], check=True)
    else:
        start()
    until = time.monotonic() + _PATIENCE_S
    while not _opens_a_pipe(unit):
        if time.monotonic() > until:
            raise TimeoutError(f"{unit} does not read {file}")
        time.sleep(_POLL_S)
    unmount(file)
    return HeldBack(file, pipe)


def mount(of: str, over: str) -> None:
    """Have a file be found under the path of another one."""
    _succeed(_libc().mount(of.encode(), over.encode(), None, _MS_BIND, None), f"cannot mount over {over}")


def unmount(path: str) -> None:
    """Undo that. A program that has the file open keeps it."""
    _succeed(_libc().umount2(path.encode(), _MNT_DETACH), f"cannot unmount {path}")


def _opens_a_pipe(unit: str) -> bool:
    try:
        with open(_PROCESSES.format(unit)) as file:
            processes = file.read().split()
        return any(_waits_in(process) == _OPENS_A_PIPE for process in processes)
    except (FileNotFoundError, ProcessLookupError):  # the unit, or a process of it, has just ended
        return False


def _waits_in(process: str) -> str:
    with open(f"/proc/{process}/wchan") as file:
        return file.read()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _succeed(result: int, otherwise: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), otherwise)
