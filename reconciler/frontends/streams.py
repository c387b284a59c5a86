"""The three streams that every process is started with, also where its parent closed one of them."""

import os
import sys

_NAMES = ("stdin", "stdout", "stderr")


def open_closed_streams() -> None:
    """Open nothing in place of a closed stream, as `cron` and `>&-` leave it: the next file would take its number.

    Then what libraries and child processes print would go into that file, which may be the database. Standard input is
    opened so that reading it fails, as on a closed one: nobody takes it for an empty file.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_WRONLY), True)  # the lowest number that is free: this one
            if number:
                setattr(sys, name, os.fdopen(number, "w", closefd=False))
