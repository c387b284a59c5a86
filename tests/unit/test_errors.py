import errno

import pytest

from reconciler import errors
from reconciler.error_codes import ErrorCode
from reconciler.errors import (
    CLASSES,
    ClusterError,
    Conflict,
    InternalError,
    OperationFailed,
    error_to_answer,
    is_recoverable,
)
from reconciler.model.status import Obstacle
from reconciler.usecases.envelope import Envelope


def every_class() -> list[type[ClusterError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ClusterError)]
    return [each for each in found if hasattr(each, "code")]


def test_every_code_has_one_class_that_explains_it() -> None:
    assert CLASSES.keys() == set(ErrorCode)
    assert [each for each in every_class() if CLASSES[each.code] not in each.__mro__] == []


def test_an_answer_says_recoverable_as_the_table_of_codes_does() -> None:
    assert {each for each in every_class() if each.recoverable != is_recoverable(each.code)} == set()
    obstacles = [Obstacle(code=code, message="in the way") for code in ErrorCode]
    assert {of.code: of.recoverable for of in obstacles} == {code: is_recoverable(code) for code in ErrorCode}


def test_what_the_host_refuses_is_told_apart_from_a_defect() -> None:
    assert (OperationFailed.code, OperationFailed.recoverable) == (ErrorCode.OPERATION_FAILED, True)
    assert (InternalError.code, InternalError.recoverable) == (ErrorCode.INTERNAL_ERROR, False)


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/disk/a"), OperationFailed, "/disk/a: No space left on dev"),
        (OSError(errno.EMFILE, "Too many open files"), OperationFailed, "Too many open files"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), OperationFailed, "temporarily unavailable"),
        (TimeoutError(), InternalError, "a defect in vmcluster: TimeoutError"),
        (KeyError("lost"), InternalError, "a defect in vmcluster: KeyError: 'lost'"),
    ],
)
def test_an_exception_that_nobody_foresaw_is_a_defect_unless_the_system_refused(
    raised: Exception, kind: type[ClusterError], words: str
) -> None:
    assert type(error_to_answer(raised)) is kind
    with Envelope[None]() as envelope:
        raise raised
    told = envelope.answer().error
    assert told is not None
    assert (told.code, told.recoverable) == (kind.code, kind.recoverable)
    assert words in told.message


def test_an_error_of_the_tree_is_passed_on_as_it_is() -> None:
    error = Conflict("not ours", node="alpha", hint="move it")
    assert error_to_answer(error) is error
