"""What one viewer has not read yet, bounded: of a state the newest alone, of lines and events the newest that fit."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MOST_ITEMS = 2000
MOST_BYTES = 1024 * 1024


@dataclass(slots=True)
class _Waiting:
    """Items of one kind; those that no longer fitted are counted."""

    items: deque[bytes] = field(default_factory=deque)
    size_bytes: int = 0
    missed: int = 0

    def add(self, item: bytes) -> None:
        self.items.append(item)
        self.size_bytes += len(item)
        while len(self.items) > MOST_ITEMS or self.size_bytes > MOST_BYTES:
            self.size_bytes -= len(self.items.popleft())
            self.missed += 1

    def as_json(self) -> bytes:
        return b'{"missed":%d,"items":[%b]}' % (self.missed, b",".join(self.items))


class Mailbox:
    """Filled by sources without waiting, emptied by one viewer. What is put in is JSON, encoded once for all."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}
        self._items: dict[str, _Waiting] = {}
        self._news = asyncio.Event()
        self._closed = False

    def put_state(self, kind: str, state: bytes) -> None:
        """Replace what was not read of this kind. States are read in the order in which they were put."""
        self._states.pop(kind, None)
        self._states[kind] = state
        self._news.set()

    def put_items(self, kind: str, items: Iterable[bytes]) -> None:
        """Add to what was not read of this kind."""
        waiting = self._items.setdefault(kind, _Waiting())
        for item in items:
            waiting.add(item)
        self._news.set()

    def clear_items(self, kind: str) -> None:
        """Forget what was not read of this kind, and say that what was read is void."""
        self._items.pop(kind, None)
        self.put_state(f"{kind}-cleared", b"{}")

    def close(self) -> None:
        """Let the viewer go, once it has read what is there."""
        self._closed = True
        self._news.set()

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed and not (self._states or self._items)

    async def take(self, *, timeout_s: float) -> list[tuple[str, bytes]]:
        """Everything that was not read, as soon as there is something; nothing after `timeout_s`."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return []
        self._news.clear()
        taken = list(self._taken())
        self._states, self._items = {}, {}
        if self._closed:
            self._news.set()
        return taken

    def _taken(self) -> Iterator[tuple[str, bytes]]:
        yield from self._states.items()
        for kind, waiting in self._items.items():
            yield kind, waiting.as_json()
