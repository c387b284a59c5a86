"""Each type that a command prints has one table, found by the type's name."""

import inspect
import re
from collections.abc import Iterator

import pytest
import typer

from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.output import PRINTED
from reconciler.frontends.cli.result_tables import TABLES, table_of

SHOWN_BY_THEIR_COMMANDS = {"ClusterHandle", "Condition", "None", "ExecResult", "ExecAllResult", "Version"}
"""What needs more than the result to be shown, such as the cluster or the streams of a remote command."""


def printed_types(group: typer.Typer) -> Iterator[str]:
    for command in group.registered_commands:
        yield from vars(command.callback).get(PRINTED, "").split(" | ")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from printed_types(inner.typer_instance)


def test_every_type_that_a_command_prints_has_a_table() -> None:
    assert {*printed_types(app)} - {""} - SHOWN_BY_THEIR_COMMANDS == TABLES.keys()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_takes_the_type_that_it_is_chosen_by(name: str) -> None:
    of = {"list": list, "dict": dict}.get(name.partition("[")[0]) or type(name, (), {})
    (parameter,) = inspect.signature(table_of(f"Other | {name}", of)).parameters.values()
    taken = re.sub(r"'|[\w.]+\.", "", inspect.formatannotation(parameter.annotation))
    assert taken.replace("Sequence", "list").replace("Mapping", "dict") == name


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("list[")])
def test_where_there_is_nothing_a_table_says_so_in_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    table_of(name, list)([])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no ")
