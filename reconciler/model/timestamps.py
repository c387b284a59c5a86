"""Moments in data that programs read: in UTC, with a `Z`."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, which Pydantic writes with a `Z`. Raises `ValueError` if it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC)


Moment = Annotated[
    datetime,
    AfterValidator(in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "Z$"}),
]
"""The type of every time that the tools return."""


def utc_text(moment: datetime) -> str:
    """A moment in the form in which Pydantic writes it."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
