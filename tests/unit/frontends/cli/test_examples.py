"""Every command's help ends with examples, which are command lines that it takes."""

import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest
import typer

from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.examples import EXAMPLES
from tests.unit.test_manual import parsed

from .conftest import Invoke

WIDTH = 80


def every_command(command: Any, *words: str) -> Iterator[str]:
    """The words that call each command."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words)
        return
    for name, each in inner.items():
        yield from every_command(each, *words, name)


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert sorted(EXAMPLES) == sorted(every_command(typer.main.get_command(app)))
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_is_a_line_that_its_command_takes(command: str) -> None:
    for line in EXAMPLES[command]:
        words = takewhile(lambda word: word[0] not in "<>", shlex.split(line))
        assert parsed(list(words)) == command
        assert len(f"  vmcluster {line}") <= WIDTH


def test_help_ends_with_the_examples(invoke: Invoke) -> None:
    assert invoke("fault", "heal", "--help").out.endswith(
        "\n\nExamples:\n  vmcluster fault heal lab partition-1\n  vmcluster fault heal lab --all\n"
    )
