"""Words that users do not read here are found wherever they would be read, with the better word."""

from pathlib import Path

import pytest

from tests import words


def lines(source: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.found) for finding in words.findings_in_python(source, "room/module.py")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('HELP = "Say it anew."', [(1, "anew")]),
        ('"""A docstring.\n\nOf a thing of\nours, made\nafresh.\n"""', [(3, "of ours"), (5, "afresh")]),
        ('message = (\n    f"{name} is not "\n    "wanted"\n)', [(2, "is not wanted")]),
        ('message = f"{path}: not there any more"', [(1, "any more")]),
        ("step()  # what is brought\n# about", [(1, "brought about")]),
        ("step()  # brought\nstep()  # about", [(1, "brought about")]),
        ("# brought\n\n# about", []),
        ("anew = left_out = ours_of = 1", []),
        ('"""With `afresh`, the caller who asked for it."""', []),
        ('"Help; left out: never. Left out is the rest."', [(1, "left out:")]),
        ('"renewed, meander, whatsoever, recommended"', []),
    ],
)  # fmt: skip
def test_banned_words_are_found_in_literals_docstrings_and_comments(
    source: str, expected: list[tuple[int, str]]
) -> None:
    assert lines(source) == expected


def test_every_banned_word_has_a_better_one_which_is_not_banned_itself() -> None:
    for better in words.BETTER.values():
        assert better
        assert not list(words.findings_in(better, "better"))


def test_a_report_names_file_line_and_the_better_word(tmp_path: Path) -> None:
    for name in (
        "README.md",
        "specs/manual/page.md",
        "specs/topologies/one.yaml",
        ".ci/run",
        "reconciler/unit.service",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first\n# built anew, as ever\n")
    (tmp_path / "reconciler/room.py").write_text('"""Whoever reads this."""\n')
    (tmp_path / "reconciler/__pycache__").mkdir()
    (tmp_path / "reconciler/__pycache__/room.pyc").write_text("anew")
    assert [str(finding) for finding in words.all_findings(tmp_path) if finding.path != "README.md"] == [
        ".ci/run:2: “anew”; better: again, or a verb with re-: rebuild, recreate",
        ".ci/run:2: “as ever”; better: as before, unchanged",
        "reconciler/room.py:1: “Whoever”; better: anyone who, any, or name the user or program",
        "reconciler/unit.service:2: “anew”; better: again, or a verb with re-: rebuild, recreate",
        "reconciler/unit.service:2: “as ever”; better: as before, unchanged",
        "specs/manual/page.md:2: “anew”; better: again, or a verb with re-: rebuild, recreate",
        "specs/manual/page.md:2: “as ever”; better: as before, unchanged",
        "specs/topologies/one.yaml:2: “anew”; better: again, or a verb with re-: rebuild, recreate",
        "specs/topologies/one.yaml:2: “as ever”; better: as before, unchanged",
    ]


def test_the_exit_code_says_whether_there_is_anything_to_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    assert words.main() == 0
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/lab.py").write_text('"""Built anew."""\n')
    assert words.main() == 1
    assert capsys.readouterr().out.startswith("tests/lab.py:1: “anew”; better: ")
