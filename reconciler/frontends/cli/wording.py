"""Spells calls that messages name as the command line does: tools as commands, arguments as options."""

import json
import re
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

_OPTIONS = {"include_memory": "memory", "restart_after": "restart", "since_marker": "since", "wait_for_ssh": "wait"}
_UNITS = re.compile(r"^(ssh_)?(timeout|duration|follow)_s$")
# Newer versions of Typer bring a Click of their own.
_click = import_module(typer.Context.__mro__[1].__module__.rpartition(".")[0] + ".globals")


def in_commands(text: str) -> str:
    """The text with each tool that it names spelled as a command, and each argument as an option.

    An argument on its own, such as `allow_restart`, belongs to the command that is running.
    """
    context = cast("typer.Context | None", _click.get_current_context(silent=True))
    return _CALL.sub(lambda found: f"`{_spelled(context, found)}`", text) if context else text


def command_words(tool: str) -> str:
    """The command that corresponds to a tool, with the option that selects it if there is one."""
    group, _, verb = tool.partition("_")
    return _IRREGULAR.get(tool) or f"{_GROUPS.get(group, f'{group} ')}{verb}"


def _spelled(context: typer.Context, found: re.Match[str]) -> str:
    name, arguments = found[1], found[2]
    command = _command(context, name)
    if command is None:
        return _option(context.command, name) or found[0].strip("`")
    given = (_given(command, *of) for of in _ARGUMENT.findall(arguments or ""))
    return " ".join(["vmcluster", command_words(name), *given])


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
    own = _UNITS.sub(r"\2", _OPTIONS.get(name, name))
    names: list[str] = next(((of.secondary_opts if off else of.opts) for of in command.params if of.name == own), [])
    return next((option for option in names if option.startswith("--")), None)
