"""A change of a record in etcd: what there is before it, and the writes that make it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.store.etcd import etcd_parts
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_requests import delete, last_below, one, put
from reconciler.store.etcd.small_values import generation_in, number_in, number_or_zero
from reconciler.store.record_json import StoredRecord, as_stored, document_in, text_of

REMOVAL = ({"op": "replace", "path": "", "value": None},)


@dataclass(frozen=True, slots=True)
class StoredNow:
    """What is stored of a cluster before a change."""

    name: str
    newest_answer: Any
    head: Any
    record: Any
    last_change: Any

    @classmethod
    def ranges(cls, name: str) -> tuple[Any, ...]:
        """The ranges that give it, of one moment."""
        return (*(one(of(name)) for of in (keys.newest, keys.head, keys.record)), last_below(keys.histories(name)))

    @property
    def newest(self) -> int:
        """The last generation that there ever was; where its number is damaged, the history knows."""
        written = [number_or_zero(kv.value) for kv in self.newest_answer.kvs]
        history = f"history of cluster {self.name}"
        return max([*written, *(generation_in(kv.key, history) for kv in self.last_change.kvs)], default=0)

    @property
    def revision(self) -> int:
        """etcd's revision of the last change of the record; 0 where there never was one."""
        return self.newest_answer.kvs[0].mod_revision if self.newest_answer.kvs else 0

    @property
    def generation(self) -> int:
        """That of the record; 0 where there is none."""
        return _generation(self.name, self.head) if self.head.kvs else 0

    def stored(self) -> StoredRecord | None:
        """The record; raises `RecordUnreadable`."""
        return stored_in(self.name, self.head, self.record) if self.head.kvs else None


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A change to be made: its patch, the record's document then (None: removed), and what the caller is told."""

    patch: Sequence[dict[str, Any]]
    document: dict[str, Any] | None
    result: Any

    def operations(self, name: str, generation: int) -> list[Any]:
        """The writes that make it, beside those of history and number."""
        if self.document is None:
            return [delete(of(name)) for of in (keys.head, keys.record)] + etcd_parts.removals_of(name)
        return [
            put(keys.head(name), b"%d" % generation),
            put(keys.record(name), keys.packed_json(self.document)),
            etcd_parts.placement_write_of(name, self.document),
        ]


def stored_in(name: str, head: Any, record: Any) -> StoredRecord:
    """The record in the ranges of its two keys; raises `RecordUnreadable`."""
    what = f"record of cluster {name}"
    text = text_of(record.kvs[0].value if record.kvs else b"", keys.unpacked, what)
    return as_stored(name, _generation(name, head), text)


def _generation(name: str, head: Any) -> int:
    return number_in(head.kvs[0].value, f"record of cluster {name}")


def document_of_value(value: bytes, what: str) -> dict[str, Any]:
    """The mapping that a stored value is; raises `RecordUnreadable`."""
    return document_in(text_of(value, keys.unpacked, what), what)
