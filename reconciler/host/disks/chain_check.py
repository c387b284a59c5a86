"""Whether a chain of layers is intact: every file exists, has the format that the layer above says, is consistent."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler import process
from reconciler.concurrency import together
from reconciler.errors import HostCommandFailed, ImageNotFound
from reconciler.host.disks.image_file import read_image_facts
from reconciler.host.disks.qcow2 import ImageFacts
from reconciler.host.magic import QCOW2

_CHECK_TIMEOUT_S = 600.0
_LEAKS_ONLY = 3  # qemu-img(1), "check": unused clusters waste space and do no harm
_CHECKS_AT_ONCE = 2
_LONGEST_CHAIN = 200  # QEMU refuses far earlier to open as many files (besides RLIMIT_NOFILE, its JSON names grow)


async def verify_chains(tops: Mapping[Path, str]) -> dict[Path, list[str]]:
    """Every problem of each chain, by its topmost file, which nothing writes to; `tops` gives its format.

    Files that several chains share are checked once.
    """
    chains: dict[Path, list[tuple[Path, ImageFacts]]] = {top: [] for top in tops}
    broken = await asyncio.to_thread(lambda: {top: _walk(top, chains[top], tops[top]) for top in tops})
    files = {file for chain in chains.values() for file, facts in chain if facts.format == QCOW2}
    few = asyncio.Semaphore(_CHECKS_AT_ONCE)

    async def check(file: Path) -> list[str]:
        async with few:
            return await _check(file)

    damage = dict(zip(files, await together(*map(check, files)), strict=True))
    return {
        top: broken[top] + [problem for file, _ in chain for problem in damage.get(file, ())]
        for top, chain in chains.items()
    }


def broken_chains(tops: Mapping[Path, str]) -> list[str]:
    """What is missing or has another format in the chains of these files, without checking contents. Blocking."""
    return list(dict.fromkeys(problem for top in tops for problem in _walk(top, [], tops[top])))


def _walk(path: Path, chain: list[tuple[Path, ImageFacts]], top_format: str = QCOW2) -> list[str]:
    """Fill `chain` from the top down to where it ends or breaks."""
    return list(_broken_links(path, chain, top_format))


def _broken_links(top: Path, chain: list[tuple[Path, ImageFacts]], top_format: str) -> Iterator[str]:
    path: Path | None = top
    expected: str | None = top_format
    while path is not None:
        try:
            facts = read_image_facts(path, expected)
        except ImageNotFound as error:
            yield str(error)
            return
        if facts.format != expected:
            yield f"{path} is {facts.format}, but {chain[-1][0] if chain else 'a layer'} expects {expected}"
        chain.append((path, facts))
        if len(chain) > _LONGEST_CHAIN:
            yield f"{top} stands on more than {_LONGEST_CHAIN} files, or on itself"
            return
        expected = facts.backing_format
        path = None if facts.backing is None else path.parent / facts.backing


async def _check(path: Path) -> list[str]:
    try:
        done = await process.run(
            ["qemu-img", "check", "--output=json", "-f", QCOW2, str(path)], timeout_s=_CHECK_TIMEOUT_S, check=False
        )
    except HostCommandFailed as error:
        return [str(error)]
    if done.exit_code in {0, _LEAKS_ONLY}:
        return []
    return [f"{path} is damaged: {parse_check(done)}"]


def parse_check(done: process.Completed) -> str:
    """What is wrong with an image, from the output of `qemu-img check --output=json`."""
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {}
    if corruptions := report.get("corruptions"):
        return f"qemu-img check found {corruptions} errors in its tables"
    return done.stderr.decode(errors="replace").strip() or f"qemu-img check ended with {done.exit_code}"
