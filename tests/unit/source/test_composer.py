"""YAML becomes values that remember where they stand, whatever the text."""

import time
from pathlib import Path

import pytest
import yaml

from reconciler.source import composer
from reconciler.source.composer import parse_source
from reconciler.source.decoding import MAX_FILE_BYTES
from reconciler.source.problems import Position

pytestmark = pytest.mark.long

SPECS = Path(__file__).parents[3] / "specs" / "topologies"

SAMPLE = b"""\
# a comment
name: first
list:
  - {a: 1}
  - &anchor
    b: "two"
again: *anchor
merged:
  <<: *anchor
  c: 3
empty:
"""


def test_values_are_those_of_the_safe_loader() -> None:
    for content in (SAMPLE, *(path.read_bytes() for path in SPECS.glob("*.yaml"))):
        document = parse_source(content, lambda _: True)
        assert document.problems == ()
        assert document.root is not None
        assert document.root.value == yaml.safe_load(content)


@pytest.mark.parametrize(
    ("location", "of_key", "mark"),
    [
        (("name",), False, Position(2, 7)),
        (("name",), True, Position(2, 1)),
        (("list", 0, "a"), False, Position(4, 9)),
        (("list", 1, "b"), False, Position(6, 8)),
        (("again", "b"), True, Position(6, 5)),
        (("merged", "b"), False, Position(6, 8)),
        (("merged", "c"), False, Position(10, 6)),
        (("empty",), False, Position(11, 7)),
        (("list", 1, "absent"), False, Position(5, 5)),
        (("absent", "deeper"), True, Position(2, 1)),
        ((), False, Position(2, 1)),
    ],
)
def test_each_value_and_key_knows_its_line_and_column(
    location: tuple[str | int, ...], of_key: bool, mark: Position
) -> None:
    assert parse_source(SAMPLE).mark(location, of_key=of_key) == mark


def test_the_parser_in_python_reads_the_same_where_libyaml_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [SAMPLE, b"a: 010\na: 1\n", b"? [x]\n: 1", b"a: *b", *(path.read_bytes() for path in SPECS.glob("*"))]
    with_c = [parse_source(content) for content in contents]
    monkeypatch.setattr(composer, "_LOADER", yaml.SafeLoader)
    for content, document in zip(contents, with_c, strict=True):
        in_python = parse_source(content)
        assert in_python.problems == document.problems
        assert (in_python.root and in_python.root.value) == (document.root and document.root.value)


BOMB = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b", ".join([b"*%c" % (letter - 1)] * 10)) for letter in b"bcdefghijklmnop"
)
HOSTILE = {
    "too large": b"a: " + b"x" * MAX_FILE_BYTES,
    "alias bomb": BOMB,
    "alias bomb of text": b"a: &a " + b"x" * 100_000 + b"\nb: [" + b"*a," * 100_000 + b"]",
    "merge bomb": b"a: &a {"
    + b"".join(b"k%d: 1," % i for i in range(1000))
    + b"}\nb: ["
    + b"{<<: *a}," * 90_000
    + b"]",
    "an alias in itself": b"&a [*a]",
    "deep lists": b"[" * 500_000,
    "deep blocks": b"- " * 500_000,
    "deep mappings": b"".join(b" " * depth + b"a:\n" for depth in range(1400)),
    "depth through aliases": b"a: &a " + b"[" * 40 + b"]" * 40 + b"\nb: " + b"[" * 20 + b"*a" + b"]" * 20,
    "many values": b"- a\n" * 262_000,
}
"""Each must be refused; the limits are of this program, so that no reader behind it need have any."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon_at_a_line(name: str) -> None:
    started = time.process_time()
    document = parse_source(HOSTILE[name])
    assert time.process_time() - started < 10
    assert document.root is None
    assert len(document.problems) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"9" * 1_000_000,
        b"a: 1" + b"_" * 1_000_000,
        b"0" * 1_000_000 + b"x",
        b"1:" * 500_000,
        b"? " * 500_000,
        b"*" * 99,
    ],
    ids=["digits", "underscores", "zeros", "colons", "keys", "stars"],
)
def test_no_pattern_is_slow_on_a_long_scalar(content: bytes) -> None:
    started = time.process_time()
    parse_source(content)
    assert time.process_time() - started < 5


def test_several_problems_are_reported_together_and_the_rest_is_read() -> None:
    document = parse_source(b"a: 010\non: 1\nb: !!binary x\nb: 2\nc: ok\n")
    assert [problem.line for problem in document.problems] == [1, 2, 3, 4]
    assert document.root is not None
    assert document.root.value["c"] == "ok"


def test_what_is_shown_of_a_file_cannot_drive_a_terminal() -> None:
    document = parse_source(b'"k\\e[2J": 1\n"k\\e[2J": 2\n')
    assert "\x1b" not in document.problems[0].at("f")
    assert "\\x1b[2J" in document.problems[0].message


def test_octal_numbers_are_taken_where_they_may_stand_and_no_alias_brings_them_elsewhere() -> None:
    text = b"free: {a: &a 0644, b: 0o644, l: &l [1, 0755], m: &m {x: 010, y: 1}}\n"
    uses = {
        "strict: *a\n": ["0644 is the octal number 420"],
        "strict: *l\n": ["0755 is the octal number 493"],
        "strict: {<<: *m}\n": ["010 is the octal number 8"],
        "strict: {<<: *m, x: 8}\n": [],
        "strict: 0644\n": ["0644 is the octal number 420"],
        "strict: 0o644\n": ["0o644 is text in YAML 1.1"],
    }
    for use, messages in uses.items():
        document = parse_source(text + use.encode(), lambda location: location[:1] == ("free",))
        assert document.root is not None
        assert document.root.value["free"] == {"a": 420, "b": "0o644", "l": [1, 493], "m": {"x": 8, "y": 1}}
        assert len(document.problems) == len(messages)
        assert all(problem.message.startswith(said) for problem, said in zip(document.problems, messages, strict=True))
        assert all(problem.path.startswith("strict") for problem in document.problems)
