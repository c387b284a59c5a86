"""Deletes trees that others have written. `shutil.rmtree` fails on deep ones: up to Python 3.12 it calls itself."""

import os
from contextlib import suppress
from pathlib import Path


def remove_tree(directory: Path) -> None:
    """Delete a directory that only we can change, with everything in it, as far as possible.

    No link is followed. Directories that were closed to us are opened.
    """
    ahead, emptied = [str(directory)], set[str]()
    while ahead:
        place = ahead.pop()
        with suppress(OSError):
            if place in emptied:
                emptied.remove(place)
                os.rmdir(place)  # noqa: PTH106  a million paths as text take less memory
            else:
                below = _without_files(place)
                emptied.add(place)
                ahead += [place, *below]


def _without_files(directory: str) -> list[str]:
    """Delete what is no directory; returns the directories."""
    os.chmod(directory, 0o700)  # noqa: PTH101  likewise
    below = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108  likewise
    return below
