"""Topology files as answers show them."""

from pydantic import Field

from reconciler.error_codes import ErrorCode
from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.message_text import MessageText


class FileProblem(Frozen):
    """One problem in a file."""

    path: str = Field(description="The YAML path, such as `nodes[1].ip`; empty for the file as a whole.")
    line: int = Field(description="Starts at 1.")
    column: int = Field(description="Starts at 1.")
    message: MessageText = Field(description="What is wrong, with its remedy.")
    code: ErrorCode = Field(description="The code with which `plan` and `apply` refuse the file for this problem.")


class TopologySummary(Abridgeable):
    """A topology that can be named."""

    name: str = Field(description="Its name, which `cluster_apply` takes.")
    valid: bool = Field(description="Neither the file nor what it names on this host has a problem.")
    problem: str = Field(default="", description="Why it cannot be read, or its first problem.")


class TopologyFile(Abridgeable):
    """A topology's text and its problems."""

    name: str = Field(description="Its name.")
    file: str = Field(description="Its file.")
    yaml: str = Field(description="Its text.")
    problems: tuple[FileProblem, ...] = Field(description="Why `cluster_apply` would refuse it; none of libvirt's.")
