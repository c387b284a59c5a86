"""Makes text safe to print on a terminal, whatever its origin."""

_SHORT_ID_LENGTH = 12


def printable(text: str) -> str:
    """The text with everything but printable characters and line ends escaped.

    Names, roles and messages may come from guests and files: none of them may move the cursor, change colours, reverse
    the writing direction or hide what follows.
    """
    return "".join(char if char == "\n" or char.isprintable() else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """Like `printable`, with line ends escaped too."""
    return printable(text).replace("\n", "\\n")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def short_id(artifact_id: str) -> str:
    """The start of an ID, enough to tell artifacts apart."""
    return artifact_id[:_SHORT_ID_LENGTH]
