"""Standard input that this process can end by itself.

The SDK reads standard input in a thread that nothing can interrupt, so a signal would leave the process hanging until
the client's next line, or end it without closing anything (modelcontextprotocol/python-sdk#3551). Here a thread of our
own copies the input: on a signal it ends the copy, and the server ends as if the client had disconnected.
"""

import os
import select
import signal
import threading
from types import FrameType

_CHUNK_BYTES = 65536
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_input_on_signals() -> None:
    """Replace file descriptor 0 by a pipe that ends on SIGTERM or SIGINT. Call it from the main thread."""
    wire = os.dup(0)
    read_end, write_end = os.pipe()
    os.dup2(read_end, 0)
    os.close(read_end)
    alarm = os.eventfd(0)

    def ring(_signal: int, _frame: FrameType | None) -> None:
        os.eventfd_write(alarm, 1)

    for number in _ENDING_SIGNALS:
        signal.signal(number, ring)
    # a daemon: when the server ends by itself, the thread may still be blocked in a read
    threading.Thread(target=_pump, args=(wire, write_end, alarm), name="stdin", daemon=True).start()


def _pump(wire: int, write_end: int, alarm: int) -> None:
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    poll.register(alarm, select.POLLIN)
    with open(write_end, "wb") as pipe:
        while alarm not in {descriptor for descriptor, _ in poll.poll()}:
            if not (chunk := _read(wire)):
                break
            pipe.write(chunk)
            pipe.flush()


def _read(wire: int) -> bytes:
    """What has come; nothing at the end, which is also there where a client closed the stream before we began."""
    try:
        return os.read(wire, _CHUNK_BYTES)
    except OSError:
        return b""
