"""Says in plain words why the value of an option does not fit.

Typer checks values with Pydantic, and prints its messages, which are written for programmers.
"""

import re

_TYPERS_OWN = "Value error, "
"""The prefix that Pydantic puts before a validator's own message."""

_PLAIN = {
    re.compile(r"Input should be a valid integer\b.*"): "use a whole number",
    re.compile(r"Input should be a (?:valid|finite) number\b.*"): "use a number, without a unit",
    re.compile(r"Input should be greater than or equal to (\S+)"): r"use at least \1",
    re.compile(r"Input should be less than or equal to (\S+)"): r"use at most \1",
}


def plain_refusal(said: str) -> str:
    """What Pydantic says of a value, for people; anything else is returned as it is."""
    for pattern, words in _PLAIN.items():
        if found := pattern.fullmatch(said):
            return found.expand(words)
    return said.removeprefix(_TYPERS_OWN)
