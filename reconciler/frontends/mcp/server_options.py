"""The options of `vmcluster-mcp`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from reconciler import __version__
from reconciler.frontends.mcp.mode import Mode, configured_mode
from reconciler.model.choices import Confirmation, Toolset


def chosen_mode(arguments: Sequence[str]) -> Mode:
    """The mode that options, environment and configuration choose. Raises `ConfigurationInvalid`.

    Ends the process for `--help` and `--version`, and for a wrong option, as `argparse` does.
    """
    said = _parser().parse_args(arguments)
    mode = configured_mode()
    return replace(
        mode,
        read_only=mode.read_only or said.read_only,
        toolsets=mode.toolsets if said.toolsets is None else said.toolsets,
        confirm=mode.confirm if said.confirm is None else Confirmation(said.confirm),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vmcluster-mcp", description="Serve MCP on standard input and output.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--read-only", action="store_true", help="offer only tools that change nothing")
    parser.add_argument(
        "--toolsets",
        type=_toolsets,
        metavar="NAME,...",
        help=f"offer only the tools of these sets: {', '.join(Toolset)} (default: all)",
    )
    parser.add_argument(
        "--confirm",
        choices=[of.value for of in Confirmation],
        help="ask the user before each call of a destructive tool, and refuse it where the client cannot ask "
        "(default: never)",
    )
    return parser


def _toolsets(text: str) -> frozenset[Toolset]:
    names = [name for part in text.split(",") if (name := part.strip().lower())]
    unknown = [name for name in names if name not in set(Toolset)]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"{', '.join(map(repr, unknown)) or repr(text)} is no toolset (there are: {', '.join(Toolset)})"
        )
    return frozenset(map(Toolset, names))
