"""How commands are declared, so that their usage looks the same under every version of Typer."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

F = TypeVar("F", bound=Callable[..., Any])


class PlainCommand(TyperCommand):
    """A command whose help shows arguments exactly as their metavars, without Typer's brackets and types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command's name."""
        return ["[OPTIONS]", *(_shown(of) for of in self.get_params(ctx) if _is_argument(of))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The sections of arguments and of options."""
        records = [(of, of.get_help_record(ctx)) for of in self.get_params(ctx)]
        arguments = [(_shown(of), _REQUIRED.sub("", found[1])) for of, found in records if found and _is_argument(of)]
        options = [found for of, found in records if found and not _is_argument(of)]
        for title, lines in (("Arguments", arguments), ("Options", options)):
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples of the command, each on a line of its own."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _shown(parameter: Any) -> str:
    return parameter.metavar or str(parameter.name).upper()


_REQUIRED = re.compile(r" *\[required\]$")


class Commands(typer.Typer):
    """A group of commands, each a `PlainCommand` by default."""

    def command(
        self,
        name: str | None = None,
        *,
        cls: type[TyperCommand] | None = PlainCommand,
        examples: Sequence[str] = (),
        **options: Any,
    ) -> Callable[[F], F]:
        """Like `Typer.command`; `examples` are command lines without the program's name, with which the help ends."""
        epilog = "\n".join(f"vmcluster {line}" for line in examples)
        return super().command(name, cls=cls, epilog=epilog or None, **options)
