"""Arguments and options that several commands share."""

import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from reconciler.frontends.cli.completion import complete_cluster, complete_node, complete_topology
from reconciler.frontends.cli.text import printable


class OutputFormat(StrEnum):
    """How a result is printed: as a table, or as the data that the MCP tools answer with."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The options for logging: the number of `-v`, and whether each event is a line of JSON."""

    verbosity: int = 0
    as_json: bool = False


def asked_format(words: Sequence[str]) -> OutputFormat:
    """The output format that a command line asks for, even if the rest of it cannot be parsed."""
    own = words[: words.index("--")] if "--" in words else words
    asked = _ASKED_FORMAT.findall("\n".join(["", *own, ""]))
    return OutputFormat(asked[-1]) if asked else OutputFormat.TABLE


_QUIET = LogOptions()

_ASKED_FORMAT = re.compile(r"(?<=\n)(?:--output[=\n]|-[a-zA-Z]*o=?\n?)(table|json|yaml)(?=\n)")

log_options: ContextVar[LogOptions] = ContextVar("log_options", default=_QUIET)
"""The options given before the command's name."""


def valid_text(value: str | None) -> str | None:
    """Refuse a word that is not UTF-8; Python turns such bytes into lone surrogates."""
    if value is not None and any("\ud800" <= char <= "\udfff" for char in value):
        raise typer.BadParameter(f"{printable(value)} is not valid UTF-8")
    return value


def more_than_zero(value: float) -> float:
    """Refuse a time limit of zero or less."""
    if not value > 0:
        raise typer.BadParameter(f"{value:g} is not greater than 0")
    return value


Cluster = Annotated[
    str,
    typer.Argument(metavar="CLUSTER", help="Name of a cluster.", autocompletion=complete_cluster, callback=valid_text),
]
AnyCluster = Annotated[
    str | None,
    typer.Argument(
        metavar="[CLUSTER]",
        help="Name of a cluster. Default: all clusters.",
        autocompletion=complete_cluster,
        callback=valid_text,
    ),
]
AnyClusters = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CLUSTER]...",
        help="Names of clusters. Default: all clusters.",
        autocompletion=complete_cluster,
    ),
]
Node = Annotated[str, typer.Argument(metavar="NODE", help="Name of a node.", autocompletion=complete_node)]
Nodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE]...", help="Names of nodes. Default: all nodes.", autocompletion=complete_node),
]
Topology = Annotated[
    str,
    typer.Argument(
        metavar="TOPOLOGY",
        help="A topology file, the name of one in topology_dir, or - for standard input.",
        autocompletion=complete_topology,
    ),
]
Output = Annotated[
    OutputFormat,
    typer.Option(
        "--output", "-o", help="Output format: table for people, json or yaml for programs.", metavar="FORMAT"
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Wait until every running node accepts SSH logins and, if it has user_data, is provisioned.",
    ),
]
SshTimeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for SSH.")]
