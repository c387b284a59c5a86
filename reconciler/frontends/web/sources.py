"""What viewers follow, each looked at once for all of them, and only while there is one."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from reconciler.errors import ClusterError, ClusterNotFound
from reconciler.frontends.browser.page_messages import (
    Spell,
    clusters_message,
    encoded,
    event_message,
    view_message,
)
from reconciler.frontends.web.mailbox import Mailbox
from reconciler.model.kernel_log import ConsoleResult
from reconciler.store.protocol import ChangeWaiter
from reconciler.usecases.application import UseCases
from reconciler.usecases.cluster_events import events_of, follow_events
from reconciler.usecases.envelope import Envelope
from reconciler.usecases.live_view import LiveCluster, LiveView

_AFTER_ERROR_S = 2.0
_POWER_EVERY_S = 1.0
_NODES_EVERY_S = 5.0
_NODES_REST = 4
"""Asking the nodes takes at most a fifth of the time."""
_AFTER_CHANGE_S = 0.1
"""A round writes several times."""
_LIST_EVERY_S = 5.0
MOST_EVENTS = 300
MOST_LINES = 1000
_LONGEST_LINE = 500
_GATHERED_S = 0.1


class Source(ABC):
    """Something that goes on; its viewers get what is known of it at once, and what is new as it comes."""

    about: ClassVar[str]
    """What it tells of."""

    def __init__(self, use: UseCases, spell: Spell) -> None:
        self._use = use
        self._spell = spell
        self._viewers: dict[Mailbox, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def watched(self) -> bool:
        """Whether it has viewers."""
        return bool(self._viewers)

    def join(self, viewer: Mailbox) -> None:
        """Tell a viewer what is known, and from now on what is new."""
        self.greet(viewer)
        if self._trouble:
            viewer.put_state(*self._said_of_trouble())
        self._viewers[viewer] = None
        if self._task is None:
            self._task = asyncio.create_task(self._keep_following())

    def leave(self, viewer: Mailbox) -> "asyncio.Task[None] | None":
        """Tell a viewer nothing more; without viewers, stop looking, and return what is ending."""
        self._viewers.pop(viewer, None)
        if self._viewers or self._task is None:
            return None
        task, self._task = self._task, None
        task.cancel()
        return task

    @abstractmethod
    def greet(self, viewer: Mailbox) -> None:
        """Tell a new viewer what is known."""

    @abstractmethod
    async def follow(self) -> None:
        """Go on looking, without end."""

    def failed(self, error: ClusterError) -> None:
        """Tell the viewers why there is nothing new."""
        self._tell_trouble(self._spell(str(error)))

    def succeeded(self) -> None:
        """Take back what was told of trouble."""
        if self._trouble:
            self._tell_trouble("")

    def tell_state(self, kind: str, state: Any) -> bytes:
        """Tell all viewers a state."""
        content = encoded(state)
        for viewer in self._viewers:
            viewer.put_state(kind, content)
        return content

    def tell_cleared(self, kind: str) -> None:
        """Tell all viewers that what was added of a kind is void."""
        for viewer in self._viewers:
            viewer.clear_items(kind)

    def tell_items(self, kind: str, items: list[bytes]) -> None:
        """Tell all viewers what was added."""
        for viewer in self._viewers:
            viewer.put_items(kind, items)

    def _tell_trouble(self, message: str) -> None:
        self._trouble = message
        for viewer in self._viewers:
            viewer.put_state(*self._said_of_trouble())

    def _said_of_trouble(self) -> tuple[str, bytes]:
        return f"{self.about}-trouble", encoded({"message": self._trouble})

    async def _keep_following(self) -> None:
        while True:
            with Envelope[None]() as envelope:
                await self.follow()
            if envelope.error is not None:
                self.failed(envelope.error)
            await asyncio.sleep(_AFTER_ERROR_S)


class ClusterList(Source):
    """The clusters that there are."""

    about = "clusters"
    _last = b""

    def greet(self, viewer: Mailbox) -> None:
        if self._last:
            viewer.put_state("clusters", self._last)

    async def follow(self) -> None:
        changes = await self._use.runtime.store.watch()
        while True:
            found = clusters_message(await self._use.inspection.clusters())
            self.succeeded()
            if encoded(found) != self._last:
                self._last = self.tell_state("clusters", found)
            await _change_or(changes, _LIST_EVERY_S)


class ClusterState(Source):
    """One cluster: its power every second and after each change, its nodes' health as often as they can be asked."""

    about = "cluster"

    def __init__(self, use: UseCases, spell: Spell, cluster: str) -> None:
        super().__init__(use, spell)
        self._cluster = cluster
        self._last = b""

    def greet(self, viewer: Mailbox) -> None:
        if self._last:
            viewer.put_state("cluster", self._last)

    async def follow(self) -> None:
        live = LiveCluster(self._use.runtime, self._cluster)
        changes = await self._use.runtime.store.watch()
        asking = asyncio.create_task(self._ask(live))
        told: LiveView | None = None
        try:
            while True:
                view = await live.look()
                self.succeeded()
                if view is not told:
                    self._last = self.tell_state("cluster", await asyncio.to_thread(view_message, view, self._spell))
                    told = view
                await _change_or(changes, _POWER_EVERY_S)
        finally:
            asking.cancel()
            await asyncio.wait({asking})

    async def _ask(self, live: LiveCluster) -> None:
        clock = asyncio.get_running_loop()
        while True:
            began = clock.time()
            with Envelope[None]():  # what cannot be asked is in the next look
                await live.ask_nodes()
            await asyncio.sleep(max(_NODES_EVERY_S, _NODES_REST * (clock.time() - began)))

    def failed(self, error: ClusterError) -> None:
        self._last = b""
        if isinstance(error, ClusterNotFound):
            self.succeeded()
            self.tell_state("gone", {"message": self._spell(str(error))})
        else:
            super().failed(error)


class ClusterEvents(Source):
    """What happens to one cluster."""

    about = "events"

    def __init__(self, use: UseCases, spell: Spell, cluster: str) -> None:
        super().__init__(use, spell)
        self._cluster = cluster
        self._known: deque[bytes] = deque(maxlen=MOST_EVENTS)
        self._newest = 0

    def greet(self, viewer: Mailbox) -> None:
        viewer.put_items("events", self._known)

    async def follow(self) -> None:
        runtime = self._use.runtime
        found = (await events_of(runtime, self._cluster, after=self._newest))[-MOST_EVENTS:]
        self.succeeded()
        self._add([encoded(event_message(of, self._spell)) for of in found])
        self._newest = found[-1].number if found else self._newest
        async for event in follow_events(runtime, self._cluster, after=self._newest):
            self._newest = event.number
            self._add([encoded(event_message(event, self._spell))])

    def _add(self, events: list[bytes]) -> None:
        self._known.extend(events)
        self.tell_items("events", events)


class NodeConsole(Source):
    """A node's serial console. What it prints at once is told at once: a flood costs one message for each moment."""

    about = "console"

    def __init__(self, use: UseCases, spell: Spell, cluster: str, node: str) -> None:
        super().__init__(use, spell)
        self._place = (cluster, node)
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._new: deque[str] = deque(maxlen=MOST_LINES)
        self._arrived = 0

    def greet(self, viewer: Mailbox) -> None:
        viewer.put_items("console", [encoded(list(self._lines))] if self._lines else [])

    async def follow(self) -> None:
        with Envelope[ConsoleResult]() as before:  # an empty console has no end yet
            before.result = await self._use.consoles.show(*self._place, tail=MOST_LINES)
        if before.error is None:
            self.succeeded()
        self._lines.clear()
        self.tell_cleared("console")
        for line in before.result.lines if before.result else ():
            self._add(line)
        async for line in self._use.consoles.follow(*self._place):
            self._add(line)

    def _add(self, line: str) -> None:
        if not self._arrived:
            asyncio.get_running_loop().call_later(_GATHERED_S, self._tell)
        self._arrived += 1
        self._new.append(line[:_LONGEST_LINE])

    def _tell(self) -> None:
        self.succeeded()
        missed = self._arrived - len(self._new)
        lines = [*([f"[… {missed} lines are not shown …]"] if missed else []), *self._new]
        self._arrived = 0
        self._new.clear()
        self._lines.extend(lines)
        self.tell_items("console", [encoded(lines)])


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched."""

    what: Literal["clusters", "state", "events", "console"]
    cluster: str = ""
    node: str = ""


async def _change_or(changes: ChangeWaiter, timeout_s: float) -> None:
    if await changes.wait(timeout_s=timeout_s):
        await asyncio.sleep(_AFTER_CHANGE_S)


class Sources:
    """All that is watched now. A source without viewers is forgotten."""

    def __init__(self, use: UseCases, spelled_for: Callable[[str], Spell]) -> None:
        self._use = use
        self._spelled_for = spelled_for
        self._there: dict[Watched, Source] = {}
        self._viewers: dict[Mailbox, None] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def viewers(self) -> int:
        """How many there are."""
        return len(self._viewers)

    @contextmanager
    def watched(self, cluster: str, node: str) -> Iterator[Mailbox]:
        """A viewer of the list of clusters, of a cluster and a node's console; of no cluster or console if empty."""
        viewer = Mailbox()
        wanted = [Watched("clusters")]
        wanted += [Watched("state", cluster), Watched("events", cluster)] if cluster else []
        wanted += [Watched("console", cluster, node)] if cluster and node else []
        self._viewers[viewer] = None
        try:
            for one in wanted:
                if one not in self._there:
                    self._there[one] = self._source(one)
                self._there[one].join(viewer)
            yield viewer
        finally:  # without waiting: the task of a viewer that has gone is cancelled at each wait
            del self._viewers[viewer]
            for one in wanted:
                self._leave(viewer, one)

    def close(self) -> None:
        """Let all viewers go."""
        for viewer in self._viewers:
            viewer.close()

    async def ended(self) -> None:
        """Wait until nothing is looked at for viewers that have gone."""
        while self._ending:
            await asyncio.wait(self._ending)

    def _source(self, one: Watched) -> Source:
        spell = self._spelled_for(one.cluster)
        match one.what:
            case "clusters":
                return ClusterList(self._use, spell)
            case "state":
                return ClusterState(self._use, spell, one.cluster)
            case "events":
                return ClusterEvents(self._use, spell, one.cluster)
            case "console":
                return NodeConsole(self._use, spell, one.cluster, one.node)

    def _leave(self, viewer: Mailbox, one: Watched) -> None:
        source = self._there.get(one)
        if source is None:
            return
        ending = source.leave(viewer)
        if not source.watched:
            del self._there[one]
        if ending is not None:
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
