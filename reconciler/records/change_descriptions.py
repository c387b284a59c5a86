"""Describes a change of a record: first what was requested, then what followed from it. Pure.

Documents are read as plain JSON, because the history also holds records written by other versions.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.store.patch import difference

Json = dict[str, Any]

_COUNTERS = ("instance", "disk_revision", "boot_epoch", "resume_epoch")
_VALUE_MAX_LENGTH = 60


def change_in_words(before: Json | None, after: Json | None) -> tuple[str, ...]:
    """The parts of a change, requested ones first; a single part if only counters changed."""
    if after is None:
        return ("- the record",)
    if before is None:
        of = _part(after, "forked_from")
        origin = f", forked from {of.get('cluster')}@{of.get('snapshot')}" if of else ""
        return (f"+ cluster of {_count(len(_part(after, 'nodes')), 'node')}{origin}",)
    parts = (_deletion, _topology, _snapshots, _faults, _power, _requests)
    said = tuple(words for part in parts for words in part(before, after))
    return said or tuple(_consent(before, after)) or ("bookkeeping only",)


def _consent(before: Json, after: Json) -> Iterator[str]:
    """The consent, shown only if nothing else changed: any other change shows its own cost."""
    was, now = before.get("consent") or (), after.get("consent") or ()
    if new := [of for of in now if of not in was]:
        yield f"approved the loss of {', '.join(new)}"


def _deletion(before: Json, after: Json) -> Iterator[str]:
    was, now = before.get("deletion"), after.get("deletion")
    if was == now:
        return
    if now is None:
        yield "no longer to be destroyed"
    else:
        yield "to be destroyed" + (", disks too" if now.get("remove_overlays") else "")


def _topology(before: Json, after: Json) -> Iterator[str]:
    old, new = _part(before, "spec"), _part(after, "spec")
    was, now = _part(old, "nodes"), _part(new, "nodes")
    yield from (f"+ node {name}" for name in now if name not in was)
    yield from (f"- node {name}" for name in was if name not in now)
    for name in (name for name in now if name in was):
        yield from (f"~ {name}: {words}" for words in _fields(was[name], now[name]))
    yield from (f"~ {words}" for words in _fields({**old, "nodes": None}, {**new, "nodes": None}))


def _fields(before: Json, after: Json) -> Iterator[str]:
    for operation in difference(before, after):
        names = [name.replace("~1", "/").replace("~0", "~") for name in operation["path"].split("/")[1:]]
        old = _at(before, names)
        was = "" if operation["op"] == "add" or old is None else f" {_value(old)}"
        now = "" if operation["op"] == "remove" else f" {_value(operation['value'])}"
        yield f"{'.'.join(names)}{was} ->{now or ' none'}"


def _snapshots(before: Json, after: Json) -> Iterator[str]:
    was, now = _part(before, "snapshots"), _part(after, "snapshots")
    yield from (f"+ snapshot {name}" for name in now if name not in was)
    yield from (f"- snapshot {name}" for name in was if name not in now)
    yield from (f"~ snapshot {name}: requested again" for name in now if name in was and was[name] != now[name])


def _faults(before: Json, after: Json) -> Iterator[str]:
    was, now = _part(before, "faults"), _part(after, "faults")
    yield from (f"+ {_fault(handle, of)}" for handle, of in now.items() if handle not in was)
    yield from (f"- {_fault(handle, of)}" for handle, of in was.items() if handle not in now)
    yield from (f"~ {_fault(of, now[of])}: changed" for of in now if of in was and was[of] != now[of])


def _power(before: Json, after: Json) -> Iterator[str]:
    changed: dict[tuple[str, str], list[str]] = {}
    for name, was, now in _both(before, after):
        if was.get("power") != now.get("power"):
            changed.setdefault((str(was.get("power")), str(now.get("power"))), []).append(name)
    for (old, new), names in changed.items():
        yield f"~ {', '.join(names)}: {old} -> {new}"


def _requests(before: Json, after: Json) -> Iterator[str]:
    """One-shot operations, which are counters."""
    said: dict[str, list[str]] = {}
    for name, was, now in _both(before, after):
        for words in _requests_of(was, now):
            said.setdefault(words, []).append(name)
    for words, names in said.items():
        yield f"{', '.join(names)}: {words}"


def _requests_of(was: Json, now: Json) -> Iterator[str]:
    grown = {key for key in _COUNTERS if was.get(key, 0) < now.get(key, 0)}
    if "instance" in grown:
        yield "recreated"
    elif "disk_revision" in grown:
        yield f"back to snapshot {now['based_on']}" if now.get("based_on") else "a fresh root disk"
    elif "boot_epoch" in grown:
        yield _cycle(now)
    elif "resume_epoch" in grown:
        yield "resume"


def _cycle(now: Json) -> str:
    down = "power cut" if now.get("stop_mode") == "destroy" else "shutdown"
    return f"{down} and boot" if now.get("power") == "running" else down


def _both(before: Json, after: Json) -> Iterator[tuple[str, Json, Json]]:
    was, now = _part(before, "nodes"), _part(after, "nodes")
    yield from ((name, was[name], now[name]) for name in now if name in was)


def _fault(handle: str, of: Json) -> str:
    name = of.get("declared_as")
    return f"{of.get('fault_type', 'fault')} {handle}" + (f" ({name} of the topology)" if name else "")


def _part(document: Mapping[str, Any], key: str) -> Json:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _at(document: Any, names: Sequence[str]) -> Any:
    for name in names:
        if isinstance(document, list):
            document = document[int(name)] if name.isdecimal() and int(name) < len(document) else None
        else:
            document = document.get(name) if isinstance(document, dict) else None
    return document


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_MAX_LENGTH else f"{text[:_VALUE_MAX_LENGTH]}…"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
