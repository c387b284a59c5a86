"""A plain scalar has one meaning, or is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.source.scalars import Ambiguous, read_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("yes", True), ("Off", False), ("TRUE", True), ("y", "y"),
        ("0", 0), ("-7", -7), ("+7", 7), ("0x1F", 31), ("1.5", 1.5), ("-0.5", -0.5), ("1.5e+3", 1500.0),
        ("192.168.100.10", "192.168.100.10"), ("10.0.0.0/24", "10.0.0.0/24"), ("2024-01-01", "2024-01-01"),
        ("52:54:00:ab:cd:ef", "52:54:00:ab:cd:ef"), ("1a", "1a"), ("-", "-"), ("+", "+"), (".", "."), ("=", "="),
        ("./x", "./x"), ("9" * 65, "9" * 65), ("<<", "<<"),
    ],
)  # fmt: skip
def test_what_all_readers_agree_on_is_read(text: str, value: object) -> None:
    found = read_plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0644", "octal number 420"), ("-010", "octal number -8"), ("08", "YAML 1.1 and a decimal number in YAML 1.2"),
        ("0o17", "an octal number in YAML 1.2"), ("0b101", "binary"), ("22:33", "base 60"), ("1:2:3.5", "base 60"),
        ("52:54:00:11:22:33", "base 60"), ("1e3", "text in YAML 1.1"), ("1.5e3", "text in YAML 1.1"),
        ("1_000", "text in YAML 1.2"), (".5", "unusual form"), ("1.", "unusual form"), (".inf", "quotes"),
        ("-.INF", "quotes"), (".nan", "quotes"), ("9" * 19, "too large"), ("1.0e+400", "text in YAML"),
        ("0x_1", "unusual form"), ("0_.", "unusual form"), ("1_0.5e+3", "text in YAML 1.1"), ("1_0:30", "base 60"),
    ],
)  # fmt: skip
def test_what_readers_disagree_on_is_refused_with_a_remedy(text: str, words: str) -> None:
    with pytest.raises(Ambiguous, match=words) as refusal:
        read_plain(text)
    assert "quotes" in str(refusal.value)


@given(st.text("-+.0123456789eE_xob:", min_size=1, max_size=12))
def test_what_is_read_as_a_number_is_that_number_to_pyyaml_too(text: str) -> None:
    try:
        value = read_plain(text)
    except Ambiguous:
        return
    if isinstance(value, int | float):
        assert yaml.safe_load(text) == value
    elif isinstance(value, str):
        # What nobody reads as a number may be a date, a list or a mapping to a parser, but is never a number.
        assert not isinstance(_pyyaml(text), int | float)


def _pyyaml(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None
