"""Prints several small files of a node, each under its name, and takes that apart; pure.

Under emulation a process costs as much as a login's shell, and dash, which is `/bin/sh` on Debian, needs one for each
file. `head -v`, of coreutils as of busybox, prints any number of files, leaves out those that cannot be read, and
limits each. It reads the kernel's numbers in one piece, as they have to be (kernel/sysctl.c, do_proc_dointvec).
"""

import re

_LIMIT_BYTES = 128 * 1024
_NAME = re.compile(r"^==> ([^\s<>]{1,200}) <==\n", re.MULTILINE)


def render_printing(*paths: str) -> str:
    """The command that prints those of the files that can be read, and up to 128 KiB of each."""
    return f"head -v -c {_LIMIT_BYTES} {' '.join(paths)} 2>/dev/null || :"


def render_heading(name: str) -> str:
    """The command that puts what is printed next under a name."""
    return f"printf '\\n==> {name} <==\\n'"


def parse_printed(text: str) -> dict[str, str]:
    """What was printed under each name, and under the empty name what came before; of a name told twice, the first."""
    before, *named = _NAME.split(text)
    told = list(zip(named[::2], named[1::2], strict=True))
    return {**dict(reversed(told)), "": before}
