"""Values that do not fit are refused in plain words."""

import pytest

from .conftest import Invoke


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("init", "--nodes", "two"), "'--nodes': use a whole number"),
        (("init", "--nodes", "1.5"), "'--nodes': use a whole number"),
        (("init", "--nodes", "0"), "'--nodes': use at least 1"),
        (("watch", "--metrics-port", "99999"), "'--metrics-port': use at most 65535"),
        (("fault", "partition", "lab", "a", "b", "--duration", "10m"), "'--duration': use a number, without a unit"),
        (("list", "-o", "xml"), "'xml' is not one of 'table', 'json', 'yaml'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_plain_words(
    invoke: Invoke, arguments: tuple[str, ...], said: str
) -> None:
    ended = invoke(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert "Input should" not in ended.err
