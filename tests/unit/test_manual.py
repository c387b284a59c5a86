import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import reconciler
from reconciler.error_codes import ErrorCode
from reconciler.frontends.cli.app import app
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.settings import Settings
from tests import manual
from tests.page_lint import anchor, problems

pytestmark = pytest.mark.processes

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`vmcluster ([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
COMMAND_LINE = re.compile(r"(?:^\$ |\$\()(?:sudo )?(?:\.venv/bin/)?vmcluster ([^#)\n]*)", re.MULTILINE)


def every_page() -> list[Any]:
    return [pytest.param(page, id=page.relative_to(manual.ROOT).as_posix()) for page in manual.pages()]


def test_the_change_log_begins_with_the_version_of_the_package() -> None:
    released = re.findall(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (manual.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0][0] == reconciler.__version__
    pyproject = tomllib.loads((manual.ROOT / "pyproject.toml").read_text())
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "reconciler.__version__"}
    assert pyproject["project"]["dynamic"] == ["version"]


def test_the_tables_are_current() -> None:
    assert manual.stale() == {}


def test_tables_take_the_place_of_old_ones_and_nothing_else_changes() -> None:
    page = "before\n<!-- a: made by make docs -->\nSTALE\n<!-- end -->\nafter\n"
    once = manual.render(page, {"a": lambda: "fresh\n"})
    assert once == page.replace("STALE", "fresh")
    assert manual.render(once, {"a": lambda: "fresh\n"}) == once


def test_a_missing_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="one place for config"):
        manual.render("no tables here", {"config": manual.render_config_table})


def test_every_key_code_and_tool_has_a_row() -> None:
    config, errors, tools = manual.render_config_table(), manual.render_error_table(), manual.render_tool_table()
    assert all(f"| `{key}` | `VMCLUSTER_{key.upper()}` |" in config for key in Settings.model_fields)
    assert all(f"| `{code}` |" in errors for code in ErrorCode)
    assert all(f"| `{tool.function.__name__}(" in tools for tool in TOOLS)


@pytest.mark.parametrize("page", every_page())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not target.startswith("https://"):
            path, _, fragment = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.is_relative_to(manual.ROOT), f"{target} leads out of the repository"
            assert file.exists(), target
            assert not fragment or fragment in map(anchor, HEADING.findall(file.read_text())), target


def test_every_page_of_the_manual_is_linked_from_its_index_and_from_the_readme() -> None:
    pages = {page.name for page in manual.MANUAL.glob("*.md")} - {"README.md"}
    assert pages <= set(LINK.findall((manual.MANUAL / "README.md").read_text()))
    assert {f"specs/manual/{page}" for page in pages} <= set(LINK.findall((manual.ROOT / "README.md").read_text()))


def test_the_page_on_architecture_names_every_room() -> None:
    rooms = {entry.parent.name for entry in (manual.ROOT / "reconciler").glob("*/__init__.py")} | {"runtime"}
    rows = "".join(re.findall(r"^\| (`.*?) \|", (manual.MANUAL / "architecture.md").read_text(), re.MULTILINE))
    assert rooms - set(re.findall(r"`([a-z_]+)`", rows)) == set()


def test_the_page_on_architecture_has_the_order_of_the_layers() -> None:
    contract = (manual.ROOT / ".importlinter").read_text().partition("\nlayers =\n")[2].partition("\nexhaustive")[0]
    layer = {name: at for at, names in enumerate(contract.splitlines()) for name in re.findall(r"[a-z_]+", names)}
    rows = re.findall(r"^\| (`.*?) \|", (manual.MANUAL / "architecture.md").read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row) if name in layer]
    assert len(named) > 20
    assert named == sorted(named, key=layer.__getitem__)


def test_every_message_that_the_page_on_troubleshooting_quotes_is_in_the_source() -> None:
    symptoms = re.findall(r"^\| ([^|]+) \|", (manual.MANUAL / "troubleshooting.md").read_text(), re.MULTILINE)
    quoted = [words for symptom in symptoms for words in re.findall(r'"([^"]+)"', symptom)]
    source = "".join(file.read_text() for file in (manual.ROOT / "reconciler").rglob("*.py"))
    in_one_piece = re.sub(r'"\s*\n\s*f?"', "", source)
    assert len(quoted) >= 8
    assert [words for words in quoted if words not in in_one_piece] == []


def every_text() -> list[Any]:
    """Every page that a forge shows: templates, decisions and the change log too."""
    root = manual.ROOT
    texts = [*root.glob("*.md"), *(root / "specs").rglob("*.md"), *(root / ".github").rglob("*.md")]
    return [pytest.param(text, id=text.relative_to(root).as_posix()) for text in sorted(texts)]


@pytest.mark.parametrize("page", every_text())
def test_every_page_reads_well_on_a_forge(page: Path) -> None:
    assert problems(page.read_text()) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("```sh\nx\n", "never closed"),
        ("```\nx\n```\n", "names no language"),
        ("    x\n", "shown as code"),
        ("| a | b |\n| --- | --- |\n| 1 |\n", "a row of 1 cells in a table of 2"),
        ("| a | b |\n| --- | --- |\n| 1 | `x|y` |\n", "a row of 3 cells"),
        ("| a |\n", "belongs to no table"),
        ("<b>x</b> y\n", "HTML: <b>"),
        ("<!-- open\n", "HTML"),
        ("a NAME for `code\n", "nothing closes: `"),
        ("[x](y\n", "nothing closes: ]("),
        ("**bold\n", "nothing closes: **"),
        ("### c\n", "a heading of level 3 below one of level 1"),
        ("# b\n", "a second title"),
        ("## b\n\n## B\n", "two headings have the anchor #b"),
        ("text\n---\n", "makes it a heading"),
        ("![words](other.png)\n", "neither searched nor compared"),
        ("![](page.png)\n", "without words"),
    ],
)
def test_a_page_that_does_not_read_well_is_found(broken: str, said: str) -> None:
    assert said in "\n".join(problems(f"# a\n\n{broken}"))
    assert problems(f"# a\n\n```text\n{broken.replace('```', '')}```\n") == []


@cache
def whole_command() -> Any:
    return get_command(app)


def parsed(words: list[str]) -> str:
    """The command that a command line calls. Raises typer's usage error for one that it does not understand."""
    command = whole_command()
    context: Any = command.context_class(command, info_name="vmcluster")
    called = []
    while hasattr(command, "commands"):
        _options, words, _order = command.make_parser(context).parse_args(words)
        name, command, words = command.resolve_command(context, words)
        called.append(name)
        context = command.context_class(command, info_name=name, parent=context)
    command.make_parser(context).parse_args(words)
    return " ".join(called)


@pytest.mark.parametrize("line", ["snapshot forge a b", "status a --no-such-option", "fly"])
def test_a_command_line_that_is_not_understood_is_found(line: str) -> None:
    with pytest.raises(Exception, match="No such"):
        parsed(line.split())


def commands_shown(page: Path) -> Iterator[str]:
    for block in CONSOLE.findall(page.read_text()):
        yield from COMMAND_LINE.findall(block)


@pytest.mark.parametrize("page", every_page())
def test_every_command_line_that_is_shown_is_one_that_vmcluster_takes(page: Path) -> None:
    for line in commands_shown(page):
        assert parsed(shlex.split(line)), line


def test_command_lines_are_found_at_all() -> None:
    assert sum(1 for page in manual.pages() for _line in commands_shown(page)) > 30


@pytest.mark.parametrize("page", every_page())
def test_commands_named_in_the_text_exist(page: Path) -> None:
    known = whole_command()
    for named in INLINE.findall(page.read_text()):
        first = named.split()[0]
        assert first in known.commands or not first.islower() or first.startswith("-"), named
