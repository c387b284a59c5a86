"""Moments as the data that programs read: in UTC, with a `Z`."""

from datetime import UTC, datetime


def utc_text(moment: datetime) -> str:
    """A moment as Pydantic writes those of the models."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
