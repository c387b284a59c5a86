"""What the use cases say, in the command line's own words."""

import re
from importlib import import_module
from typing import Any, cast

import typer

_ARGUMENT = re.compile(r"`([a-z][a-z_]*)`")
# Newer versions of Typer bring a Click of their own.
_click = import_module(typer.Context.__mro__[1].__module__.rpartition(".")[0] + ".globals")


def with_options(text: str) -> str:
    """The text with each argument that it names, such as `allow_restart`, spelled as the running command's option."""
    context = cast("typer.Context | None", _click.get_current_context(silent=True))
    spelled = {str(of.name): _long_option(of) for of in context.command.params} if context else {}
    return _ARGUMENT.sub(lambda found: f"`{spelled.get(found[1]) or found[1]}`", text)


def _long_option(parameter: Any) -> str | None:
    return next((option for option in parameter.opts if option.startswith("--")), None)
