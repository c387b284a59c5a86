"""A person at a terminal types on a node's serial line."""

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.model.choices import StopMode
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session
from tests.integration.cli.conftest import COMMAND
from tests.waiting import PATIENCE_S, eventually

PASSWORD = "open sesame"
LOGIN = f"echo 'root:{PASSWORD}' | chpasswd && systemctl start --no-block getty@ttyS0"
LOCAL_MODES = 3


class Person:
    """Somebody before a terminal on which `console --attach` runs."""

    def __init__(self, bed: Bed, node: str, *options: str) -> None:
        self.screen, self.terminal = pty.openpty()
        self.modes = termios.tcgetattr(self.terminal)
        self.shown = b""
        self.process = subprocess.Popen(
            [*COMMAND, "console", CLUSTER, node, "--attach", *options],
            env=bed.environment, stdin=self.terminal, stdout=self.terminal, stderr=self.terminal,
        )  # fmt: skip

    async def sees(self, awaited: bytes) -> None:
        """Wait until that is shown after what was seen before."""
        await eventually(lambda: self._look(awaited), timeout_s=2 * PATIENCE_S)
        self.shown = self.shown.partition(awaited)[2]

    async def types(self, text: str) -> None:
        await asyncio.to_thread(os.write, self.screen, text.encode())

    async def ended(self) -> int:
        await eventually(lambda: self._look(b"\0never") or self.process.poll() is not None)
        return self.process.wait()

    def _look(self, awaited: bytes) -> bool:
        ended = self.process.poll() is not None
        while select.select([self.screen], [], [], 0)[0]:
            self.shown += os.read(self.screen, 4096)
        assert awaited in self.shown or not ended or awaited == b"\0never", f"it ended with {self.shown!r}"
        return awaited in self.shown

    @property
    def raw(self) -> bool:
        return not termios.tcgetattr(self.terminal)[LOCAL_MODES] & termios.ICANON


@contextmanager
def person(bed: Bed, node: str, *options: str) -> Iterator[Person]:
    found = Person(bed, node, *options)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
        os.close(found.terminal)
        os.close(found.screen)


async def test_a_person_logs_in_on_a_serial_line_and_leaves_it(trio: Session, guest_bed: Bed) -> None:
    assert (await trio.nodes.run(CLUSTER, "n0", LOGIN, timeout_s=PATIENCE_S)).exit_code == 0
    with person(guest_bed, "n0") as first:
        await first.sees(b"Ctrl-] detaches")
        await eventually(lambda: first.raw)
        await first.types("\r")
        await first.sees(b"login: ")
        await first.types("root\r")
        await first.sees(b"Password: ")
        await first.types(f"{PASSWORD}\r")
        await first.sees(b"# ")
        fcntl.ioctl(first.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        first.process.send_signal(signal.SIGWINCH)
        await first.types("echo $((6 * 7))end\r")
        await first.sees(b"42end")
        with person(guest_bed, "n0") as refused:
            await refused.sees(b"somebody else is using the node's serial line")
            assert await refused.ended() == 1

        with person(guest_bed, "n0", "--force") as second:
            await second.sees(b"Ctrl-] detaches")
            assert await first.ended() == 1
            await first.sees(b"another user took over the console")
            assert termios.tcgetattr(first.terminal) == first.modes
            await second.types("echo $((7 * 7))end\r")
            await second.sees(b"49end")
            await second.types("\x1d")
            assert await second.ended() == 0
            assert termios.tcgetattr(second.terminal) == second.modes
    shown = "\n".join((await trio.consoles.show(CLUSTER, "n0")).lines)
    assert "42end" in shown
    assert "49end" in shown


async def test_the_terminal_is_given_back_when_the_command_is_killed_or_the_machine_ends(
    trio: Session, guest_bed: Bed
) -> None:
    with person(guest_bed, "n1") as asked:
        await asked.sees(b"Ctrl-] detaches")
        await eventually(lambda: asked.raw)
        asked.process.terminate()
        assert await asked.ended() == 128 + signal.SIGTERM
        assert termios.tcgetattr(asked.terminal) == asked.modes
    with person(guest_bed, "n1") as left:
        await left.sees(b"Ctrl-] detaches")
        await eventually(lambda: left.raw)
        await trio.clusters.stop(CLUSTER, nodes=["n1"], mode=StopMode.DESTROY)
        assert await left.ended() == 1
        await left.sees(b"was closed: the machine stopped")
        assert termios.tcgetattr(left.terminal) == left.modes
    with person(guest_bed, "n1") as late:
        assert await late.ended() == 1
        await late.sees(b"n1 is not running")
        assert termios.tcgetattr(late.terminal) == late.modes
