"""What an error says about several nodes. Pure."""

from collections.abc import Collection, Mapping
from typing import Protocol

from reconciler.errors import ClusterError, PartialFailure, SshTimeout, hints_of


class _HasMessage(Protocol):
    @property
    def message(self) -> str: ...


def causes_by_node(failed: Mapping[str, _HasMessage]) -> str:
    """What went wrong on each node."""
    return "; ".join(f"{node}: {of.message}" for node, of in failed.items())


def only_one(nodes: Collection[str]) -> str | None:
    """The node that an error is about, if it is about a single one."""
    return next(iter(nodes)) if len(nodes) == 1 else None


def no_logins(failures: Mapping[str, ClusterError], timeout_s: float) -> ClusterError:
    """The error for nodes that accept no login, by node: that of a single one is its own."""
    if len(failures) == 1:
        (error,) = failures.values()
        return error
    said = f"no login on {len(failures)} nodes within {timeout_s:g} s: {causes_by_node(failures)}"
    return SshTimeout(said, hint=hints_of(failures.values()))


def partial_failure(
    what: str, failed: Mapping[str, _HasMessage], asked: int, partial: object, hint: str | None = None
) -> PartialFailure:
    """The error for `what` on the failed ones of so many nodes; `partial` is the result on the others."""
    message = f"{what} on {len(failed)} of {asked} nodes: {causes_by_node(failed)}"
    failure = PartialFailure(message, node=only_one(failed), hint=hint)
    failure.partial = partial
    return failure
