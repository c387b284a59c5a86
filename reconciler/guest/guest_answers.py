"""What a guest says is understood, or is the error of that one node: no odd answer may cost the others theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.errors import OperationFailed

_SHOWN = 200
NOT_UNDERSTOOD = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, AssertionError)
"""What taking something apart raises that is not as it should be."""


@contextmanager
def understood(node: str, what: str) -> Iterator[None]:
    """Where an answer is taken apart. What it lacks, or says in no known way, is raised as `OperationFailed`."""
    try:
        yield
    except NOT_UNDERSTOOD as error:
        raise OperationFailed(
            f"the node's answer for {what} cannot be parsed: {shown(str(error))}",
            node=node,
            hint="check the node itself: something in it prints more than it should, or it cannot be trusted",
        ) from error


def shown(words: str) -> str:
    """A guest's words in a message: a few, of which none does anything to a terminal."""
    return "".join(of if of.isprintable() else "\N{REPLACEMENT CHARACTER}" for of in words[:_SHOWN])
