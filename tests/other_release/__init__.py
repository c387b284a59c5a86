"""Tests on the other Debian release than the host's: `python -m tests.other_release [--long]`, or `-- COMMAND...`.

A root file system of Debian 13 on a Debian 12 host, of Debian 12 on any other, is made once per package list and kept
in `CACHE`. Commands run in it in mount and process namespaces of their own, so the kernel takes away all that was
mounted, however a run ends. The checkout is seen through an overlay: nothing in it is written.

    releases  which release the other one is; pure
    root      makes the root and what Python needs in it, kept between runs
    enter     process 1 inside: mounts, pivot_root, then the command
    short     the tests of the short form
    earlier   a cluster that was made on the host's release, for `upgrade` or `downgrade` to take up on the other
"""

from pathlib import Path

CACHE = Path("/var/cache/vmcluster/other-release")
"""Outside of any checkout; a root in it takes about 1 GB."""

CHECKOUT = Path("/vmcluster")
"""Where the checkout is inside: one place, whichever checkout it is, so that what was installed fits all of them."""

KEPT = Path("/opt/vmcluster")
"""Inside, what belongs to the root and not to a run: the virtual environment and byte code."""

VENV = KEPT / "venv"

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
