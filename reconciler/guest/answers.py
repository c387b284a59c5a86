"""What a guest says is understood, or is the error of that one node: no odd answer may cost the others theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.errors import OperationFailed

_SHOWN = 200


@contextmanager
def understood(node: str, what: str) -> Iterator[None]:
    """Where an answer is taken apart. What it lacks, or says in no known way, is raised as `OperationFailed`."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise OperationFailed(
            f"what the node answered for {what} cannot be understood: {str(error)[:_SHOWN]}",
            node=node,
            hint="look at the node itself: something in it prints more than it should, or it is not to be trusted",
        ) from error
