"""The sessions that the manual shows, typed into a shell: what a reader copies from it does what the page says."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from tests import manual
from tests.integration.bed import SHARED_CLUSTER, Bed
from tests.integration.cli.conftest import COMMAND
from tests.unit.test_manual import CONSOLE
from tests.waiting import BOOT_TIMEOUT_S

NAMES = {"example-3node": SHARED_CLUSTER, "cli": SHARED_CLUSTER, "controller": "n0", "worker-0": "n1", "worker-1": "n2"}
"""What the pages call the cluster and its nodes: what they are called here."""

ELSEWHERE = re.compile(
    r"vmcluster (watch|destroy (?!try-)|adopt|apply|plan)\b|make demo|rollback|the store was deleted"
)
"""Ends with the session, takes the cluster of the other tests away, or needs the files of the demo: tested as such."""


def commands(page: Path) -> list[str]:
    """The lines that somebody types, with the names of this cluster. A revert is agreed to, as by a person asked."""
    typed = [line[2:] for block in CONSOLE.findall(page.read_text()) for line in block.splitlines() if line[:2] == "$ "]
    typed = [line for line in typed if line.startswith("vmcluster ") and not ELSEWHERE.search(line)]
    known = re.compile("|".join(rf"\b{name}\b" for name in NAMES))
    named = [known.sub(lambda found: NAMES[found[0]], line) for line in typed]
    return [re.sub(r"snapshot revert \S+ \S+", r"\g<0> --yes", line) for line in named]


@pytest.mark.parametrize("page", ["README.md", "specs/manual/snapshots.md", "specs/manual/faults.md"])
@pytest.mark.usefixtures("trio")
async def test_the_commands_of_a_page_do_what_they_say_one_after_the_other(guest_bed: Bed, page: str) -> None:
    lines = commands(manual.ROOT / page)
    assert len(lines) >= 3, lines
    script = "\n".join(["set -eux", f'vmcluster() {{ {shlex.join(COMMAND)} "$@"; }}', *lines])
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        env=guest_bed.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 3 * BOOT_TIMEOUT_S)
    assert process.returncode == 0, out.decode()
