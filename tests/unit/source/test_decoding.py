import pytest
from yaml.reader import Reader

from reconciler.source.decoding import Unparsable, decode

ALL = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x10000), 0x1F600)]


def refusal(character: str) -> tuple[int, int, str] | None:
    """Line, column and message, where the fifth character of the second line is refused."""
    try:
        decode(f"a: 1\nb: x{character}y\n".encode())
    except Unparsable as refused:
        return refused.problem.line, refused.problem.column, refused.problem.message
    return None


def test_what_the_parser_would_refuse_without_a_line_is_refused_at_its_place() -> None:
    refused = {character: found for character in ALL if (found := refusal(character)) is not None}
    assert set(refused) == {character for character in ALL if Reader.NON_PRINTABLE.search(character)}
    for character, (line, column, message) in refused.items():
        assert (line, column, f"U+{ord(character):04X}" in message) == (2, 5, True)


@pytest.mark.parametrize("character", ["\t", "\x85", "\xa0", "é", "\u2028"])
def test_other_text_is_left_as_it_is(character: str) -> None:
    assert decode(f"a: {character}".encode()) == f"a: {character}"


@pytest.mark.parametrize("encoding", [f"utf-{width}{order}" for width in (16, 32) for order in ("", "-le", "-be")])
def test_text_of_wider_characters_is_named_as_such(encoding: str) -> None:
    with pytest.raises(Unparsable, match="UTF-16 or UTF-32") as refused:
        decode("cluster_name: lab\n".encode(encoding))
    assert refused.value.problem.plain
