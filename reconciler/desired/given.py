"""Topologies that are given as text: on standard input, or by a pipe that can be read only once."""

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
    """A topology by its name in `topology_dir`: from who is not to reach other files of the host."""

    name: str


@dataclass(frozen=True, slots=True)
class TopologyText:
    """A topology's text, what its problems are told of, and where relative paths in it start."""

    name: str
    content: bytes
    base_dir: Path


GivenTopology = str | Path | TopologyName | TopologyText
"""A name or a path, a name alone, or the text itself."""


def read_given(name_or_path: str) -> str | TopologyText:
    """The text of what is no file of its own, read once and whole; what is a file or a name stays as it is.

    `-` is standard input. A pipe is read to its end, at most one byte more than is allowed. Raises `TopologyNotFound`.
    """
    if name_or_path == STANDARD_INPUT:
        return _read(0, _NAME)
    return _read(name_or_path, name_or_path) if _is_stream(name_or_path) else name_or_path


def _is_stream(path: str) -> bool:
    """Whether a path leads to a pipe, a device or an open descriptor, beside which there are no other files."""
    if "/" not in path:
        return False
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or path.startswith(_STREAMS))


def _read(source: str | int, name: str) -> TopologyText:
    try:
        with open(source, "rb", closefd=isinstance(source, str)) as stream:
            return TopologyText(name, stream.read(MAX_FILE_BYTES + 1), Path.cwd())
    except OSError as error:
        message = f"the topology {name} cannot be read: {os.strerror(error.errno or 0)}"
        raise TopologyNotFound(message, hint="give it by a pipe or a file") from error
