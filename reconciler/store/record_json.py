"""Records and statuses as the JSON that a store keeps. Unreadable ones raise `RecordUnreadable`. Pure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from reconciler.errors import Conflict, InvalidArgument, RecordUnreadable
from reconciler.model.base import Frozen
from reconciler.model.record import ClusterRecord
from reconciler.store.patch import difference

ModelT = TypeVar("ModelT", bound=Frozen)


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A row of the table `record`: the generation and the record without it, as JSON."""

    generation: int
    document: dict[str, Any]


def as_stored(name: str, generation: int, text: str) -> StoredRecord:
    what = f"record of cluster {name}"
    return StoredRecord(generation, document_in(text, what))


def document_of(record: ClusterRecord) -> dict[str, Any]:
    """The record as JSON, without the generation; raises `InvalidArgument` for what JSON cannot represent."""
    try:
        document = record.model_dump(mode="json", exclude={"generation"})
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidArgument(
            f"the record of cluster {record.cluster_name} cannot be written as JSON: {error}",
            hint="user_data may contain text, finite numbers, booleans, lists and mappings",
        ) from error
    return document


def record_of(name: str, stored: StoredRecord) -> ClusterRecord:
    document = {**stored.document, "generation": stored.generation}
    return parsed(ClusterRecord, document, f"record of cluster {name}")


def parsed(model: type[ModelT], document: Any, what: str) -> ModelT:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise unreadable(what, f"{error.error_count()} values that this version does not know") from error


def text_of(value: bytes, unpacked: Callable[[bytes], str], what: str) -> str:
    """The text of a stored value, where `unpacked` raises `ValueError` for what it did not write."""
    try:
        return unpacked(value)
    except ValueError as error:
        raise unreadable(what, str(error)) from error


def document_in(text: str, what: str) -> dict[str, Any]:
    """The mapping that a text is."""
    document = loaded(text, what)
    if not isinstance(document, dict):
        raise unreadable(what, "it is not a mapping")
    return document


def loaded(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(what, str(error)) from error


def says_no_more(record: ClusterRecord, stored: ClusterRecord) -> bool:
    """Whether the desired state is as before, and nothing more was approved."""
    unspoken = {"generation": 0, "consent": ()}
    same = not difference(*(document_of(of.model_copy(update=unspoken)) for of in (stored, record)))
    return same and set(record.consent) <= set(stored.consent)


def refuse_stale(name: str, found: int, expected: int) -> None:
    """Raise `Conflict` where a record is not at the generation that a change was made from; 0 where there was none."""
    if found == expected:
        return
    state = f"is at generation {found}" if found else "no longer exists"
    made_from = f"from generation {expected}" if expected else "for a cluster that did not exist"
    raise Conflict(
        f"another client was first: the record of cluster {name} {state}, but the change was made {made_from}",
        hint="read the record again and repeat the change",
    )


def unreadable(what: str, why: str) -> RecordUnreadable:
    """The error for stored data of one cluster."""
    return RecordUnreadable(
        f"the {what} cannot be read: {why}",
        hint="was it written by a newer vmcluster? Then upgrade this one; other clusters are not affected. Otherwise "
        "`cluster_adopt` rebuilds it from the host, and `vmcluster destroy --force CLUSTER` deletes all",
    )
