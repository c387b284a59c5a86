"""What terminals are shown of text that others wrote."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.frontends.cli.text import one_line, printable


def test_printable_text_of_any_language_stays_as_it_is() -> None:
    assert printable("naïve 节点\nμ → ✓") == "naïve 节点\nμ → ✓"


def test_control_characters_direction_marks_and_stray_bytes_are_escaped() -> None:
    assert printable("a\x1b[2J\x9b\r\u202e\udcff") == r"a\x1b[2J\x9b\r\u202e\udcff"


@given(st.text(st.characters()))
def test_one_line_is_always_one_printable_line(text: str) -> None:
    assert one_line(text).isprintable()
