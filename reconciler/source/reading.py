"""Reads a file that a person wrote: bounded, and without blocking."""

from pathlib import Path

from reconciler.files.plain import open_plain
from reconciler.source.decoding import MAX_FILE_BYTES


class SourceUnreadable(Exception):
    """The file does not exist or cannot be read; the message is the reason in plain words."""


def read_source_file(path: Path) -> bytes:
    """The contents of a regular file, at most one byte more than the limit; raises `SourceUnreadable`."""
    try:
        with open_plain(path) as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SourceUnreadable(getattr(error, "strerror", None) or str(error)) from error
