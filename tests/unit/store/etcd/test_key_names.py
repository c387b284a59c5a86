import zlib

import pytest

from reconciler.store.etcd import key_names


@pytest.mark.parametrize("text", ["", "{}", "ü" * 10_000, '{"a": 1}' * 100_000])
def test_a_value_is_read_back_as_it_was_written(text: str) -> None:
    assert key_names.unpacked(key_names.packed(text)) == text


@pytest.mark.parametrize(
    "value",
    [b"z", b"zz", b"z" + zlib.compress(b"x" * 100)[:-3], b"z" + zlib.compress(bytes(65 * 1024 * 1024)), b"\xff"],
    ids=["nothing", "no stream", "cut off", "a bomb", "no text"],
)
def test_a_value_that_vmcluster_cannot_have_written_is_an_error_of_bounded_cost(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its words are those of the codec
        key_names.unpacked(value)


def test_keys_of_one_cluster_are_not_below_those_of_another() -> None:
    assert not key_names.history("lab2", 1).startswith(key_names.histories("lab"))
    assert key_names.end_of(key_names.histories("lab")) > key_names.history("lab", 10**19)
    assert key_names.name_in(key_names.request("lab"), key_names.REQUESTS) == "lab"
    assert key_names.name_in(key_names.events("lab") + b"1-2-3", key_names.EVENTS) == "lab"
