"""rsync to a guest over the system's `ssh`, with our keys and the guest's host key verified strictly."""

import re
from collections.abc import Sequence
from pathlib import Path

from reconciler.guest.address import GuestAddress
from reconciler.guest.openssh import render_ssh_transport

_SENT = re.compile(rb"^Total bytes sent: ([0-9]+)$", re.MULTILINE)
_PERCENT = re.compile(rb" ([0-9]{1,3})% ")

# A node that lost its power sends nothing, not even an end: ask every five seconds, give up after six silences.
_LIVELINESS = {"BatchMode": "yes", "ServerAliveInterval": "5", "ServerAliveCountMax": "6"}


def render_rsync_upload(
    address: GuestAddress, known_hosts_path: Path, source: Path, target: str, options: Sequence[str] = ()
) -> list[str]:
    """The argument vector that makes the directory `target` on a guest like the directory `source`.

    File names go through the protocol and not through the guest's shell. A user other than root becomes root by
    `sudo`, as cloud-init sets it up.
    """
    transport = render_ssh_transport(address, known_hosts_path, _LIVELINESS)
    become_root = [] if address.user == "root" else ["--rsync-path=sudo -n rsync"]
    report = ["--stats", "--info=progress2", "--no-human-readable"]
    return [
        "rsync",
        *options,
        "--secluded-args",
        *report,
        *become_root,
        f"--rsh={' '.join(map(_quoted, transport))}",
        "--",
        f"{source}/",
        f"{address.host}:{target}/",
    ]


def parse_bytes_sent(stdout: bytes) -> int:
    """What went over the wire to the guest, as `--stats` says; 0 where rsync came to no end."""
    match = _SENT.search(stdout)
    return int(match[1]) if match else 0


def parse_percent(chunk: bytes) -> int | None:
    """How far the whole transfer is, as the last report in a chunk of `--info=progress2` says."""
    reports = _PERCENT.findall(chunk)
    return int(reports[-1]) if reports else None


def _quoted(word: str) -> str:
    """As rsync splits `--rsh` (rsync(1)): quotes keep spaces, and are doubled inside quotes of their own kind."""
    return "'" + word.replace("'", "''") + "'"
