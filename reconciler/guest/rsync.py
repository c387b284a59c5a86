"""Runs rsync to a guest over the system's `ssh`, with our keys and strict verification of the guest's host key."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from reconciler.guest.address import GuestAddress
from reconciler.guest.command import begin_line, render_begin
from reconciler.guest.openssh import render_ssh_transport

_SENT = re.compile(rb"^Total bytes sent: ([0-9]{1,18})$", re.MULTILINE)
_PERCENT = re.compile(rb" ([0-9]{1,3})% ")

_FROM_BEGIN = (
    'exec 3>&1; exit "$({ { "$@" 3>&- 4>&-; echo "$?" >&4; } | '
    '{ while IFS= read -r line; do case $line in *"$0") exec cat >&3 4>&-; esac; done; }; } 4>&1)"'
)
"""For sh(1): run the words that follow, pass on what they print after the line `$0`, and exit as they do."""

# A node that lost its power sends nothing, not even an end: ask every five seconds, give up after six silences.
_LIVELINESS = {"BatchMode": "yes", "ServerAliveInterval": "5", "ServerAliveCountMax": "6"}


def render_rsync_upload(
    address: GuestAddress, known_hosts_path: Path, source: Path, target: str, options: Sequence[str] = ()
) -> list[str]:
    """The argument vector that makes the directory `target` on a guest equal to the directory `source`.

    File names are sent in the protocol, never through the guest's shell, and the protocol begins after whatever the
    shell's start-up files print. A user other than root becomes root with `sudo`, as cloud-init sets it up.
    """
    token = secrets.token_hex(8)
    transport = ["sh", "-c", _FROM_BEGIN, begin_line(token)]
    transport += render_ssh_transport(address, known_hosts_path, _LIVELINESS)
    program = f'exec {"" if address.user == "root" else "sudo -n "}rsync "$@"'
    report = ["--stats", "--info=progress2", "--no-human-readable"]
    return [
        "rsync",
        *options,
        "--secluded-args",
        *report,
        f"--rsync-path={render_begin(program, token)}",
        f"--rsh={' '.join(map(_quoted, transport))}",
        "--",
        f"{source}/",
        f"{address.host}:{target}/",
    ]


def parse_bytes_sent(stdout: bytes) -> int:
    """The bytes sent to the guest according to `--stats`; 0 if rsync did not finish.

    The guest's side can have any lines printed before them (MSG_INFO in rsync's io.c), so the last ones count.
    """
    told = _SENT.findall(stdout)
    return int(told[-1]) if told else 0


def parse_percent(chunk: bytes) -> int | None:
    """The progress of the whole transfer, from the last report in a chunk of `--info=progress2`."""
    reports = _PERCENT.findall(chunk)
    return int(reports[-1]) if reports else None


def _quoted(word: str) -> str:
    """Quote a word for `--rsh` (rsync(1)): quotes keep spaces, and are doubled inside quotes of the same kind."""
    return "'" + word.replace("'", "''") + "'"
