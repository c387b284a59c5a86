"""Where a command for a node begins on the command line: its options are its own, with and without `--`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from reconciler.frontends.cli.commands import PlainCommand

END_OF_OPTIONS = "--"
_NAMES_ALL_NODES = frozenset({"--all", "--nodes"})


class RemoteCommand(PlainCommand):
    """A command whose last words are a command for a node."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words of the remote command are kept from being read as options."""
        try:
            words = with_end_of_options(args, _options(self.params))
        except typer.BadParameter as error:
            error.ctx = ctx
            raise
        return super().parse_args(ctx, words)


def with_end_of_options(words: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    """The words, with `--` before the remote command where its writer left it out.

    `options` says of each option whether it takes a value. Raises the command line's own error where an option after
    the first word of the remote command could be meant for either.
    """
    begin = _begin(words, options)
    if begin is None:
        return list(words)
    rest = words[begin:]
    own = rest[: rest.index(END_OF_OPTIONS)] if END_OF_OPTIONS in rest else rest
    for word in own:
        if (name := _option_in(word, options)) is not None:
            raise typer.BadParameter(
                f"{name} after the first word of the command could be meant for either: write {END_OF_OPTIONS} before "
                f"the command, and before that what is meant for vmcluster"
            )
    return [*words[:begin], END_OF_OPTIONS, *rest]


def _begin(words: Sequence[str], options: Mapping[str, bool]) -> int | None:
    """Where the remote command begins; None where `--` says so already, or there is none.

    Raises the command line's own error for a node beside --all or --nodes, and for an option that is not ours
    where the remote command was to begin: then the node is missing.
    """
    before, on_many = 2, False  # the cluster and the node
    numbers = iter(range(len(words)))
    for number in numbers:
        word = words[number]
        if word == END_OF_OPTIONS:
            if before < 0:
                raise typer.BadParameter("name a node, or give --all or --nodes, but not both")
            return None
        if before == 0 and END_OF_OPTIONS not in words[number:] and _is_none_of(word, options):
            raise typer.BadParameter(
                f"{word} is no option of vmcluster: name a node, or give --all or --nodes, and then the command"
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
    """Whether it is an option, and none of a command that runs others on many nodes."""
    is_option = word.startswith("-") and word not in {"-", "-h", "--help"}
    return is_option and "--all" in options and _option_in(word, options) is None


def _value_follows(word: str, options: Mapping[str, bool]) -> bool:
    if word.startswith("--"):
        return "=" not in word and options.get(word, False)
    letters = _letters(word)
    valued = next((place for place, letter in enumerate(letters) if options.get(letter, False)), None)
    return valued == len(letters) - 1


def _option_in(word: str, options: Mapping[str, bool]) -> str | None:
    """The option of ours that a word is, or begins with."""
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
