"""Finds where a remote command begins on the command line, so that its options are passed on, with or without `--`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from reconciler.frontends.cli.commands import PlainCommand

END_OF_OPTIONS = "--"
_NAMES_ALL_NODES = frozenset({"--all", "--nodes"})


class RemoteCommand(PlainCommand):
    """A command whose last words are a command to run on a node."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse options only up to the remote command."""
        try:
            words = with_end_of_options(args, _options(self.params))
        except typer.BadParameter as error:
            error.ctx = ctx
            raise
        return super().parse_args(ctx, words)


def with_end_of_options(words: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    """The words, with `--` inserted before the remote command if it is missing.

    `options` says for each option whether it takes a value. Raises a usage error when an option after the first word of
    the remote command could belong to either command.
    """
    begin = _begin(words, options)
    if begin is None:
        return list(words)
    rest = words[begin:]
    own = rest[: rest.index(END_OF_OPTIONS)] if END_OF_OPTIONS in rest else rest
    for word in own:
        if (name := _option_in(word, options)) is not None:
            raise typer.BadParameter(
                f"{name} after the start of the command is ambiguous: put {END_OF_OPTIONS} before the command, and "
                "options for vmcluster before that"
            )
    return [*words[:begin], END_OF_OPTIONS, *rest]


def _begin(words: Sequence[str], options: Mapping[str, bool]) -> int | None:
    """Where the remote command begins; None if `--` says so already, or there is no command.

    Raises a usage error for a node next to --all or --nodes, and for an unknown option where the node is expected.
    """
    before, on_many = 2, False  # the cluster and the node
    numbers = iter(range(len(words)))
    for number in numbers:
        word = words[number]
        if word == END_OF_OPTIONS:
            if before < 0:
                raise typer.BadParameter("name a node, or pass --all or --nodes, but not both")
            return None
        if before == 0 and END_OF_OPTIONS not in words[number:] and _is_none_of(word, options):
            raise typer.BadParameter(
                f"{word} is not an option of vmcluster: name a node, or pass --all or --nodes, and then the command"
            )
        if word.startswith("-") and word != "-":
            if word.partition("=")[0] in _NAMES_ALL_NODES and not on_many:
                before, on_many = before - 1, True
            if _value_follows(word, options):
                next(numbers, None)
        elif before == 0:
            return number
        else:
            before -= 1
    return None


def _is_none_of(word: str, options: Mapping[str, bool]) -> bool:
    """Whether a word is an option that the command, which can run on many nodes, does not have."""
    is_option = word.startswith("-") and word not in {"-", "-h", "--help"}
    return is_option and "--all" in options and _option_in(word, options) is None


def _value_follows(word: str, options: Mapping[str, bool]) -> bool:
    if word.startswith("--"):
        return "=" not in word and options.get(word, False)
    letters = _letters(word)
    valued = next((place for place, letter in enumerate(letters) if options.get(letter, False)), None)
    return valued == len(letters) - 1


def _option_in(word: str, options: Mapping[str, bool]) -> str | None:
    """The option of vmcluster that a word is, or begins with."""
    name = word.partition("=")[0] if word.startswith("--") else word[:2]
    return name if name in options else None


def _letters(word: str) -> list[str]:
    return [f"-{letter}" for letter in word[1:]]


def _options(parameters: Sequence[Any]) -> dict[str, bool]:
    return dict(_named(parameters))


def _named(parameters: Sequence[Any]) -> Iterator[tuple[str, bool]]:
    for of in parameters:
        if of.param_type_name == "option":
            yield from ((name, not (of.is_flag or of.count)) for name in (*of.opts, *of.secondary_opts))
