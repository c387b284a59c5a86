"""A saved memory with other XML, without a copy of it.

libvirt accepts no other name or UUID than the saved ones beside a file (`restoreFlags`), but it believes what the file
says: it reads the file from a pipe here, with other XML put before the same memory.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.host.libvirt.saved_memory import HEADER_BYTES, parse_head, saved_xml, with_xml

_PREFIX = ".as-node-"

_PIPE_MODE = 0o600
_RETRY_S = 0.002
_CHUNK_BYTES = 1 << 20


@contextmanager
def memory_with_xml(memory: Path, directory: Path, render: Callable[[str], str]) -> Iterator[Path]:
    """A pipe in `directory` that gives a program the memory, with what `render` makes of its XML."""
    pipe = directory / f"{_PREFIX}{os.getpid()}-{threading.get_ident()}"
    with memory.open("rb", buffering=0) as file:
        try:
            head = parse_head(file.read(HEADER_BYTES))
            data = file.read(head.length)
            beginning = with_xml(head, data, render(saved_xml(head, data)))
        except ValueError as error:
            raise OperationFailed(f"the memory {memory} is damaged: {error}") from error
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, _PIPE_MODE)
        over = threading.Event()
        feeder = threading.Thread(target=_feed, args=(pipe, beginning, file.fileno(), over), daemon=True)
        feeder.start()
        try:
            yield pipe
        finally:
            over.set()
            feeder.join()
            pipe.unlink(missing_ok=True)


def _feed(pipe: Path, beginning: bytes, memory: int, over: threading.Event) -> None:
    """Write all of it for each program that opens the pipe, until one has read everything, or nobody reads on.

    libvirt 11 opens the file twice: once for the XML, and again for the memory.
    """
    start = os.lseek(memory, 0, os.SEEK_CUR)
    while (writer := _opened(pipe, over)) is not None:
        with suppress(BrokenPipeError), os.fdopen(writer, "wb", buffering=0) as out:
            view = memoryview(beginning)
            while view:
                view = view[out.write(view) :]
            at = start
            while count := os.splice(memory, out.fileno(), _CHUNK_BYTES, offset_src=at):
                at += count
            return


def _opened(pipe: Path, over: threading.Event) -> int | None:
    """The pipe's writing end as soon as somebody reads; None if nobody did.

    Before anything is written, another pipe takes its place: who opens it next does not read what this one left.
    """
    while not over.is_set():
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(_RETRY_S)
            continue
        fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        following = pipe.with_name(f"{pipe.name}.next")
        following.unlink(missing_ok=True)
        os.mkfifo(following, _PIPE_MODE)
        following.replace(pipe)
        return writer
    return None


def delete_memory_pipes(directory: Path) -> None:
    """Remove the pipes that a killed process left in a directory."""
    for pipe in directory.glob(f"{_PREFIX}*"):
        if pipe.is_fifo():
            pipe.unlink(missing_ok=True)
