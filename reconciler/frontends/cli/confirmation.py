"""Asks for confirmation before data is lost."""

import sys

import typer

from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.session import FAILURE


def can_be_asked() -> bool:
    """Whether a person can answer at a terminal."""
    return sys.stdin.isatty()


def require_a_yes(question: str) -> None:
    """Ask, and exit without having changed anything unless the answer is yes."""
    if not typer.confirm(question, err=True):
        narrate("nothing was changed")
        raise typer.Exit(FAILURE)
