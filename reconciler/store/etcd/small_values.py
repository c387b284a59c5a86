"""The values of single keys that are no documents: numbers, names, times. Pure.

Anyone who may write to etcd may have written anything there. What has to be known raises `RecordUnreadable` for the
cluster that it is about; all else has a value that does no harm, so that no key keeps a host from all its clusters.
"""

import json
import re
from datetime import UTC, datetime

from reconciler.store.record_json import unreadable

_NUMBER = re.compile(rb"[0-9]{1,20}")
_SHOWN = 40


def number_in(value: bytes, what: str) -> int:
    """A number. Raises `RecordUnreadable`."""
    if not _NUMBER.fullmatch(value):
        raise unreadable(what, f"{value[:_SHOWN]!r} is no number")
    return int(value)


def generation_in(key: bytes, what: str) -> int:
    """The generation that a key of the history ends with. Raises `RecordUnreadable`."""
    return number_in(key.rpartition(b"/")[2], what)


def number_or_zero(value: bytes) -> int:
    """A number, or 0."""
    return int(value) if _NUMBER.fullmatch(value) else 0


def name_from(value: bytes) -> str:
    """A name; bytes that are no text are escaped, and make one that nothing has."""
    return value.decode(errors="backslashreplace")


def moment_or_none(value: bytes) -> datetime | None:
    """A moment as in ISO 8601, or None."""
    try:
        moment = datetime.fromisoformat(value.decode())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def names_or_none(value: bytes) -> frozenset[str] | None:
    """A list of names, or None."""
    try:
        names = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)
