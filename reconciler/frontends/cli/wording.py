"""Spells calls that messages name as the command line does: tools as commands, arguments as options."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, cast

import typer

_CALL = re.compile(r"`([a-z][a-z_]*)(?:\(([^()`]*)\))?`")
_ARGUMENT = re.compile(r'(\w+)=("[^"]*"|\w+)')
_IRREGULAR = {
    "cluster_define": "apply --no-start",
    "cluster_rollback_plan": "rollback --dry-run",
    "host_doctor": "doctor",
    "net_heal_all": "fault heal --all",
    "net_fault_list": "fault list",
    "node_exec_all": "exec --all",
}
_GROUPS = {"cluster": "", "node": "", "net": "fault "}
"""Prefixes of tools' names, and of their commands; other prefixes are the same."""

_OPTIONS = {
    "grudge": "drop",
    "include_memory": "memory",
    "restart_after": "restart",
    "since_marker": "since",
    "wait_for_ssh": "wait",
}
_FILLED = {"cluster": "cluster", "node": "node", "nodes": "node", "words": "node", "topology": "topology"}
"""What commands' first arguments name, so that a call in a text may leave them out; `words` begins with a node."""
_about: ContextVar[Mapping[str, str]] = ContextVar("about")
_UNITS = re.compile(r"^(?:ssh_)?(.+)_(?:s|ms|pct|kbit)$")
# Newer versions of Typer bring a Click of their own.
_click = import_module(typer.Context.__mro__[1].__module__.rpartition(".")[0] + ".globals")


@contextmanager
def texts_about(cluster: str | None = None, node: str | None = None) -> Iterator[None]:
    """Calls in texts inside that name no cluster or node mean these, or if None those of the `with` around it."""
    named = {key: of for key, of in (("cluster", cluster), ("node", node)) if of}
    token = _about.set({**_about.get({}), **named})
    try:
        yield
    finally:
        _about.reset(token)


def in_commands(text: str) -> str:
    """The text with each tool that it names spelled as a command, and each argument as an option.

    Clusters and nodes that a call does not name are those that the running command or `texts_about` names. An argument
    on its own, such as `allow_restart`, belongs to the command that is running.
    """
    context = cast("typer.Context | None", _click.get_current_context(silent=True))
    return _CALL.sub(lambda found: f"`{_spelled(context, found)}`", text) if context else text


def spelling_of_now() -> Callable[[str], str]:
    """`in_commands` as the running command has it, for other threads and for later."""
    context = cast("typer.Context | None", _click.get_current_context(silent=True))

    def spelled(text: str) -> str:
        if context is None:
            return text
        with context.scope(cleanup=False):
            return in_commands(text)

    return spelled


def command_words(tool: str) -> str:
    """The command that corresponds to a tool, with the option that selects it if there is one."""
    group, _, verb = tool.partition("_")
    return _IRREGULAR.get(tool) or f"{_GROUPS.get(group, f'{group} ')}{verb}"


def _spelled(context: typer.Context, found: re.Match[str]) -> str:
    name, arguments = found[1], found[2]
    command = _command(context, name)
    if command is None:
        return _option(context.command, name) or found[0].strip("`")
    named = dict(_ARGUMENT.findall(arguments or ""))
    given = [_given(command, *of) for of in named.items()]
    words, dash, option = command_words(name).partition(" --")
    filled = _filled(context, command, {*named, *(["words"] if option == "all" else [])})
    return " ".join(["vmcluster", words, *filled, *([f"--{option}"] if dash else []), *given])


def _filled(context: typer.Context, command: Any, named: Set[str]) -> Iterator[str]:
    """The words for the first arguments of a command that a call does not name; `NODE` for one that is not known."""
    given = {**context.params, "words": None, **_about.get({})}
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.name
            known = given.get(_FILLED.get(name, "")) or given.get(name)
            if name not in _FILLED or not named.isdisjoint({name, f"{name}_name"}):
                return
            if known:
                yield shlex.join([known] if isinstance(known, str) else known)
            elif parameter.required:
                yield parameter.metavar


def _command(context: typer.Context, tool: str) -> Any:
    """The command of a tool; None if the name is not a tool's."""
    command: Any = context.find_root().command
    for word in command_words(tool).partition(" --")[0].split():
        command = getattr(command, "commands", {}).get(word)
    return command if "_" in tool else None


def _given(command: Any, name: str, value: str) -> str:
    """An argument and its value as words of the command line."""
    flag = value in {"true", "false"}
    option = _option(command, name, off=value == "false")
    word = str(json.loads(value)) if value.startswith('"') else value
    return (option or "") if flag else f"{option} {word}" if option else word


def _option(command: Any, name: str, *, off: bool = False) -> str | None:
    """The long option for an argument; None if this command has no such option."""
    own = _UNITS.sub(r"\1", _OPTIONS.get(name, name))
    names: list[str] = next(((of.secondary_opts if off else of.opts) for of in command.params if of.name == own), [])
    return next((option for option in names if option.startswith("--")), None)
