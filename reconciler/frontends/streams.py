"""Standard streams that the parent process has closed."""

import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def open_closed_streams() -> None:
    """Open /dev/null in place of each closed stream, so that the next file does not get its descriptor.

    Otherwise what libraries and child processes print would go into that file, which may be the database. Reading
    standard input still fails, as on a closed one, so it is not mistaken for an empty file.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY), True)  # the lowest number that is free: this one
            if number:
                setattr(sys, name, os.fdopen(number, "w", closefd=False))
