"""Checks a topology without needing a host that can run it."""

import asyncio

from pydantic import Field

from reconciler.desired.load import find_problems
from reconciler.desired.topology_text import GivenTopology
from reconciler.errors import ErrorCode
from reconciler.model.base import Frozen
from reconciler.model.prose import Prose
from reconciler.settings import Settings


class FileProblem(Frozen):
    """One problem in a file."""

    path: str = Field(description="The YAML path, such as `nodes[1].ip`; empty for the file as a whole.")
    line: int = Field(description="Starts at 1.")
    column: int = Field(description="Starts at 1.")
    message: Prose = Field(description="What is wrong, with its remedy.")
    code: ErrorCode = Field(description="The code with which `plan` and `apply` refuse the file for this problem.")


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
    found = (
        FileProblem(path=of.path, line=of.line, column=of.column, message=of.message, code=of.code) for of in problems
    )
    return Validation(file=name, valid=not problems, problems=tuple(found))
