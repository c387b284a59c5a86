"""What an error says about several nodes. Pure."""

from collections.abc import Collection, Mapping
from typing import Protocol

from reconciler.errors import PartialFailure


class _HasMessage(Protocol):
    @property
    def message(self) -> str: ...


def causes_by_node(failed: Mapping[str, _HasMessage]) -> str:
    """What went wrong on each node."""
    return "; ".join(f"{node}: {of.message}" for node, of in failed.items())


def only_one(nodes: Collection[str]) -> str | None:
    """The node that an error is about, if it is about a single one."""
    return next(iter(nodes)) if len(nodes) == 1 else None


def partial_failure(
    what: str, failed: Mapping[str, _HasMessage], asked: int, partial: object, hint: str | None = None
) -> PartialFailure:
    """The error for `what` on the failed ones of so many nodes; `partial` is the result on the others."""
    message = f"{what} on {len(failed)} of {asked} nodes: {causes_by_node(failed)}"
    failure = PartialFailure(message, node=only_one(failed), hint=hint)
    failure.partial = partial
    return failure
