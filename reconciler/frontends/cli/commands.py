"""How commands are declared, and how their usage is written under every version of Typer."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

F = TypeVar("F", bound=Callable[..., Any])


class PlainCommand(TyperCommand):
    """A command whose usage has each argument as its metavar is written, without brackets of Typer's own."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command's name."""
        arguments = (of for of in self.get_params(ctx) if of.param_type_name == "argument")
        return ["[OPTIONS]", *(of.metavar or str(of.name).upper() for of in arguments)]


class Commands(typer.Typer):
    """A group of commands, each a `PlainCommand` unless it says otherwise."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = PlainCommand, **options: Any
    ) -> Callable[[F], F]:
        """As `Typer.command`."""
        return super().command(name, cls=cls, **options)
