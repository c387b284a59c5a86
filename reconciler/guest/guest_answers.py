"""Turns a malformed answer of a guest into an error of that one node, so that the other nodes keep their answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.errors import OperationFailed

_SHOWN = 200
PARSE_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, AssertionError)
"""What parsing raises if an answer is not in the expected form."""


@contextmanager
def parsing_answer(node: str, what: str) -> Iterator[None]:
    """Wrap the parsing of an answer: whatever is missing or malformed is raised as `OperationFailed`."""
    try:
        yield
    except PARSE_ERRORS as error:
        raise OperationFailed(
            f"the node's answer for {what} cannot be parsed: {printable_words(str(error))}",
            node=node,
            hint="check the node itself: something in it prints more than it should, or it cannot be trusted",
        ) from error


def printable_words(words: str) -> str:
    """A guest's words for a message: shortened, with nothing in them that affects a terminal."""
    return "".join(of if of.isprintable() else "\N{REPLACEMENT CHARACTER}" for of in words[:_SHOWN])
