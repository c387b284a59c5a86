"""Several things at once."""

import pytest

from reconciler.concurrency import together
from reconciler.errors import SshTimeout


async def returned(error: SshTimeout) -> SshTimeout:
    return error


async def raised(error: SshTimeout) -> SshTimeout:
    raise error


async def test_an_error_that_is_returned_is_a_result_and_one_that_is_raised_is_raised() -> None:
    one, other = SshTimeout("one"), SshTimeout("other")
    assert [*await together(returned(one), returned(other))] == [one, other]
    with pytest.raises(SshTimeout, match="other"):
        await together(returned(one), raised(other))
