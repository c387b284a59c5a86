"""Text that is safe on a terminal, whoever wrote it."""

_SHORT_ID_LENGTH = 12


def printable(text: str) -> str:
    """The text with everything but printable characters and line ends escaped.

    Names, roles and messages may come from guests and files: none of them moves the cursor, changes colours,
    turns the writing direction round or hides what follows.
    """
    return "".join(char if char == "\n" or char.isprintable() else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """As `printable`, with line ends escaped too."""
    return printable(text).replace("\n", "\\n")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def short_id(artifact_id: str) -> str:
    """As much of an id as people need to tell artifacts apart."""
    return artifact_id[:_SHORT_ID_LENGTH]
