"""Checking a topology without a host that could run it."""

import asyncio

from pydantic import Field

from reconciler.desired.given import GivenTopology
from reconciler.desired.load import find_problems
from reconciler.errors import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.prose import Prose
from reconciler.settings import Settings


class FileProblem(Frozen):
    """One thing that is wrong in a file."""

    path: str = Field(description="The YAML path, such as `nodes[1].ip`; empty for the file as a whole.")
    line: int = Field(description="Counts from 1.")
    column: int = Field(description="Counts from 1.")
    message: Prose = Field(description="What is wrong, with its remedy.")
    code: ErrorCode = Field(description="With which `plan` and `apply` refuse the file for this alone.")


class Validation(Frozen):
    """What is wrong with a topology, from the top of the file to its end."""

    file: str = Field(description="The file that was checked.")
    valid: bool = Field(description="It has no problem.")
    problems: tuple[FileProblem, ...] = Field(description="In the order of the file.")


async def validate(topology: GivenTopology, settings: Settings, *, with_files: bool = True) -> Validation:
    """Check a topology against itself and, with files, against what it names on this host; libvirt is not asked.

    Raises `TopologyNotFound`.
    """
    name, problems = await asyncio.to_thread(find_problems, topology, settings, with_files=with_files)
    found = (
        FileProblem(path=of.path, line=of.line, column=of.column, message=of.message, code=of.code) for of in problems
    )
    return Validation(file=name, valid=not problems, problems=tuple(found))
