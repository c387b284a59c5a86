"""Checks a topology without needing a host that can run it."""

import asyncio
from collections.abc import Iterable

from pydantic import Field

from reconciler.desired.load import find_problems
from reconciler.desired.topology_text import GivenTopology
from reconciler.model.base import Frozen
from reconciler.model.topology_file import FileProblem
from reconciler.settings import Settings
from reconciler.source.problems import Problem


class Validation(Frozen):
    """The problems of a topology, in the order of the file."""

    file: str = Field(description="The file that was checked.")
    valid: bool = Field(description="It has no problem.")
    problems: tuple[FileProblem, ...] = Field(description="In the order of the file.")


async def validate(topology: GivenTopology, settings: Settings, *, with_files: bool = True) -> Validation:
    """Check a topology by itself and, with files, against the files on this host that it names; does not contact
    libvirt. Raises `TopologyNotFound`.
    """
    name, problems = await asyncio.to_thread(find_problems, topology, settings, with_files=with_files)
    return Validation(file=name, valid=not problems, problems=file_problems(problems))


def file_problems(problems: Iterable[Problem]) -> tuple[FileProblem, ...]:
    """Problems as answers show them."""
    return tuple(
        FileProblem(path=of.path, line=of.line, column=of.column, message=of.message, code=of.code) for of in problems
    )
