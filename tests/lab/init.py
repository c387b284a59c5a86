"""Process 1 of a lab: reaps, forwards signals, and ends the lab when the command or the outside has ended.

libvirt waits until a QEMU that it killed is gone from the process table; an init that reaps late costs it up
to 80 s each time. So every child is collected the moment it ends, no matter who started it.

When this process exits the kernel kills everything else in the lab, and network, mounts and files go with it:
there is no other cleaning up.
"""

import os
import selectors
import signal
import sys
from collections.abc import Iterator, Sequence

from tests.lab import FORWARDED_SIGNALS, LAB_FAILED

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_NOT_FOUND = 127


def main(arguments: Sequence[str]) -> int:
    """Provision the lab, run the command, and return its exit code."""
    lifeline, size, image_dir, hosts, *command = arguments
    init = Init(int(lifeline))
    provisioned = init.run([sys.executable, "-m", "tests.lab.provision", size, image_dir, hosts])
    if provisioned != 0:
        return provisioned if provisioned > 128 else LAB_FAILED
    return init.run(command)


class Init:
    """Runs one command at a time and collects every process of the lab that ends meanwhile.

    `lifeline` is a pipe from the outside: each byte is the number of a signal to pass on, and its end means that
    the outside is gone.
    """

    def __init__(self, lifeline: int) -> None:
        os.set_inheritable(lifeline, False)
        self._lifeline = lifeline
        arrived, wakeup = os.pipe()
        for end in (arrived, wakeup):
            os.set_blocking(end, False)
        for number in (signal.SIGCHLD, *FORWARDED_SIGNALS):
            signal.signal(number, _noted_through_wakeup)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(arrived, selectors.EVENT_READ)
        self._selector.register(lifeline, selectors.EVENT_READ)

    def run(self, command: Sequence[str]) -> int:
        """Run `command` in a session of its own; its exit code, or `128 + n` when signal n ended it."""
        try:
            pid = os.posix_spawnp(command[0], list(command), os.environ, setsid=True, setsigdef=_IGNORED_BY_PYTHON)
        except OSError as error:
            print(f"lab: {command[0]}: {error.strerror}", file=sys.stderr)
            return _NOT_FOUND
        status = None
        while status is None:
            for number in self._wait_for_signals():
                if number != signal.SIGCHLD:
                    os.killpg(pid, number)
            status = _reap_all().get(pid)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _wait_for_signals(self) -> Iterator[int]:
        for key, _ in self._selector.select():
            numbers = os.read(key.fd, 4096)
            if not numbers and key.fd == self._lifeline:
                os._exit(128 + signal.SIGKILL)
            yield from numbers


def _reap_all() -> dict[int, int]:
    """Collect every child that has ended: process id to wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def _noted_through_wakeup(_number: int, _frame: object) -> None:
    """The signal's number has been written to the wake-up pipe; there is nothing else to do."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
