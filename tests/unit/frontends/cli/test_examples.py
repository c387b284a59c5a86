"""Every command's help ends with examples, which are command lines that it takes."""

import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest
import typer

from reconciler.frontends.cli.app import app
from tests.unit.test_manual import parsed

from .conftest import Invoke

WIDTH = 80


def every_command(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """Each command, by the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words), command
        return
    for name, each in inner.items():
        yield from every_command(each, *words, name)


COMMANDS = dict(every_command(typer.main.get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_examples_which_are_lines_that_it_takes(command: str) -> None:
    lines = (COMMANDS[command].epilog or "").splitlines()
    assert lines
    for line in lines:
        program, *words = takewhile(lambda word: word[0] not in "<>", shlex.split(line))
        assert (program, parsed(words)) == ("vmcluster", command)
        assert len(f"  {line}") <= WIDTH


def test_help_ends_with_the_examples(invoke: Invoke) -> None:
    assert invoke("fault", "heal", "--help").out.endswith(
        "\n\nExamples:\n  vmcluster fault heal lab partition-1\n  vmcluster fault heal lab --all\n"
    )
