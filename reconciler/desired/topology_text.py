"""Topologies given as text: on standard input, or through a pipe that can be read only once."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import TopologyNotFound
from reconciler.source.decoding import MAX_FILE_BYTES

STANDARD_INPUT = "-"

_STREAMS = ("/dev/", "/proc/")
_NAME = "<stdin>"


@dataclass(frozen=True, slots=True)
class TopologyName:
    """A topology by its name in `topology_dir`, from a client that must not reach other files of the host."""

    name: str


@dataclass(frozen=True, slots=True)
class TopologyText:
    """A topology's text, the name it has in error messages, and the directory that its relative paths start from."""

    name: str
    content: bytes
    base_dir: Path


GivenTopology = str | Path | TopologyName | TopologyText
"""A name or a path, only a name, or the text itself."""


def text_bytes(text: str) -> bytes:
    """A client's text, even if it is none that a file can hold: that is a problem with a place in it."""
    return text.encode(errors="surrogatepass")


def read_given(name_or_path: str) -> str | TopologyText:
    """Read standard input or a pipe as text, once and whole; return the argument itself if it names a file.

    `-` is standard input. At most one byte more than the limit is read from a pipe. Raises `TopologyNotFound`.
    """
    if name_or_path == STANDARD_INPUT:
        return _read(0, _NAME)
    return _read(name_or_path, name_or_path) if _is_stream(name_or_path) else name_or_path


def _is_stream(path: str) -> bool:
    """Whether a path leads to a pipe, a device or an open descriptor, which has no other files next to it."""
    if "/" not in path:
        return False
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or path.startswith(_STREAMS))


def _read(source: str | int, name: str) -> TopologyText:
    try:
        here = Path.cwd()
    except OSError as error:
        message = "the current directory is gone, and relative paths in a topology start there"
        raise TopologyNotFound(message, hint="change to an existing directory") from error
    try:
        with open(source, "rb", closefd=isinstance(source, str)) as stream:
            return TopologyText(name, stream.read(MAX_FILE_BYTES + 1), here)
    except OSError as error:
        message = f"the topology {name} cannot be read: {os.strerror(error.errno or 0)}"
        raise TopologyNotFound(message, hint="give it through a pipe or as a file") from error
