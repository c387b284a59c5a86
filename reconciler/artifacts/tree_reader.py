"""Reads a whole tree into the store: in parallel, and only what is not already known."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from reconciler.artifacts.objects import Objects
from reconciler.artifacts.reading_cache import FileReading, Readings
from reconciler.artifacts.scan import Exclusion, FoundFile, Scan, changed, open_directory, scan_directories
from reconciler.artifacts.tree_entries import EntryKind, TreeEntry, tree_id
from reconciler.files.roots import Opened

_WORKERS = max(2, min(8, os.cpu_count() or 1))
"""More threads than processors are no faster, cached files or not: they only pass the interpreter lock around."""

_BATCH = 64
_REPORT_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Intake:
    """A tree as stored, and what was learnt for the next time."""

    artifact_id: str
    entries: Sequence[TreeEntry]
    excluded: Sequence[Exclusion]
    readings: Readings


class TreeReader:
    """Reads one tree; `stop` may be called from another thread, and ends it with `InterruptedError`."""

    def __init__(self, root: Opened, objects: Objects, report: Callable[[str], None]) -> None:
        self._root = root
        self._objects = objects
        self._report = report
        self._stop = threading.Event()
        self._reported = threading.Lock()
        self._done_bytes = 0

    def stop(self) -> None:
        """Make the reading end soon."""
        self._stop.set()

    @property
    def read_bytes(self) -> int:
        """How much has been read so far."""
        return self._done_bytes

    def take_in(self, scan: Scan, known: Readings) -> Intake:
        """Every entry of the tree as scanned, with each file's contents in the store.

        Raises `Conflict` if anything in the tree changed between the first and the last scan.
        """
        readings = {found.path: known[found.path] for found in scan.files if self._is_known(found, known)}
        unread = [found for found in scan.files if found.path not in readings]
        if unread:
            self._objects.require_space(_total_bytes(unread))
            self._report(f"reading {len(unread)} of {len(scan.files)} files, {_mib(_total_bytes(unread))} MiB")
            readings |= self._read_all(unread)
            _require_same(scan, scan_directories(self._root))
        entries = [*scan.complete, *(_entry(found, readings[found.path]) for found in scan.files)]
        return Intake(tree_id(entries), entries, scan.excluded, readings)

    def _is_known(self, found: FoundFile, known: Readings) -> bool:
        reading = known.get(found.path)
        return reading is not None and reading.signature == found.signature

    def _read_all(self, unread: Sequence[FoundFile]) -> Readings:
        batches = [unread[start : start + _BATCH] for start in range(0, len(unread), _BATCH)]
        readings: Readings = {}
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="intake") as workers:
            try:
                for part in workers.map(self._read_batch, batches):
                    readings |= part
            except BaseException:
                self.stop()
                workers.shutdown(wait=True, cancel_futures=True)
                raise
        return readings

    def _read_batch(self, batch: Sequence[FoundFile]) -> dict[bytes, FileReading]:
        readings = {}
        above, directory = b"", self._root.held
        for found in batch:
            if self._stop.is_set():
                raise InterruptedError
            if above != (above := found.path.rpartition(b"/")[0]):  # files of one directory follow each other
                directory = open_directory(self._root, above)
            readings[found.path] = self._objects.take_in(directory, found, stopped=self._stop.is_set)
            self._count(found.signature[1])
        return readings

    def _count(self, size_bytes: int) -> None:
        with self._reported:
            before = self._done_bytes // _REPORT_BYTES
            self._done_bytes += size_bytes
            if self._done_bytes // _REPORT_BYTES > before:
                self._report(f"read {_mib(self._done_bytes)} MiB")


def _require_same(before: Scan, after: Iterable[Scan]) -> None:
    """Raise `Conflict` with one difference, if there is any."""
    were = {each.path: each for each in _found_in(before)}
    for part in after:
        for each in _found_in(part):
            if were.pop(each.path, None) != each:
                raise changed(each.path)
    for path in were:
        raise changed(path)


def _found_in(scan: Scan) -> Iterator[FoundFile | TreeEntry]:
    yield from scan.files
    yield from scan.complete


def _entry(found: FoundFile, reading: FileReading) -> TreeEntry:
    _, size_bytes, mtime_ns, _ = found.signature
    content = reading.sha256.encode()
    return TreeEntry(
        found.path, EntryKind.FILE, found.mode, content, size_bytes, mtime_ns, reading.role, reading.vermagic
    )


def _total_bytes(files: Sequence[FoundFile]) -> int:
    return sum(found.signature[1] for found in files)


def _mib(size_bytes: int) -> int:
    return size_bytes // 1024**2
