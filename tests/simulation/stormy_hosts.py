"""Hosts in a storm: simulated machines in this process, and controllers in processes that come and go."""

import asyncio
import multiprocessing
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, Protocol

from reconciler.errors import ClusterError
from reconciler.model.document import ClusterDocument
from reconciler.model.plan import Action, HealLinks, SetLinks
from tests.etcd import RunningEtcd
from tests.libvirt_socket import silent_libvirt
from tests.simulation.controller_process import Post, serve
from tests.simulation.host import SimulatedHost
from tests.simulation.machines import DONE, LocalMachine, receive, send
from tests.simulation.many_hosts import HOSTS

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.simulation.controller_process"])


class Weather(Protocol):
    """What happens to a host, and what is asked of it."""

    members: Sequence[RunningEtcd]

    async def boundary(self, host: "StormyHost", /) -> None:
        """Called before each effect on a machine, and after it before that is told."""
        ...

    async def is_alive(self, name: str, /) -> bool | None:
        """Whether etcd holds the host's lease; None where nobody can tell."""
        ...

    def violated(self, what: str, /) -> None:
        """Called with each promise that is broken."""
        ...


class Wire:
    """A way from one host to one member of etcd, which can be cut."""

    def __init__(self, member: RunningEtcd) -> None:
        self._member = member
        self._through = asyncio.Event()
        self._through.set()
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def lay(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Nothing passes, and neither side is told."""
        self._through.clear()

    def mend(self) -> None:
        self._through.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.create_task(self._carry(reader, writer))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._member.host, self._member.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65536):
                await self._through.wait()
                writer.write(some)
                await writer.drain()
        except OSError:
            pass  # one end went away, and so does the other
        finally:
            writer.close()


@dataclass(slots=True)
class _Work:
    """An action that a controller has begun on a machine; `process` is None once it is done."""

    action: Action
    undoing: bool
    process: BaseProcess | None


class StormyHost:
    """A machine, which stays, and the controller on it, which comes and goes."""

    def __init__(self, storm: Weather, name: str, directory: Path) -> None:
        directory.mkdir()
        (directory / "state").mkdir()
        silent_libvirt(directory / "state")
        self.name = name
        self.machine = SimulatedHost(ClusterDocument(), Random(name))
        self._storm = storm
        self._directory = directory
        self._local = LocalMachine(self.machine)
        self._works: dict[int, _Work] = {}
        self._wires = [Wire(member) for member in storm.members]
        self.store = ""
        self.clock_s = 0.0
        self._process: BaseProcess | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        ports = [await wire.lay() for wire in self._wires]
        self.store = "etcd://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self._server = await asyncio.start_unix_server(self._serve, self._directory / "machine")

    async def close(self) -> None:
        self.kill()
        assert self._server is not None
        self._server.close()
        for wire in self._wires:
            await wire.close()

    def start(self) -> None:
        """Start the controller, if it does not run."""
        if self._process is not None and self._process.is_alive():
            return
        machine, log = self._directory / "machine", self._directory / "log"
        post = Post(
            self.name, HOSTS.index(self.name), self.store, self._directory / "state", machine, log, self.clock_s
        )
        self._process = _PROCESSES.Process(target=serve, args=(post,), daemon=True)
        self._process.start()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, number)

    def cut(self) -> None:
        for wire in self._wires:
            wire.cut()

    def mend(self) -> None:
        for wire in self._wires:
            wire.mend()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        process = self._process
        assert process is not None
        try:
            while True:
                verb, arguments, named = await receive(reader)
                if verb in {"begin", "step"}:
                    await self._storm.boundary(self)
                if not process.is_alive():
                    return
                answer = await self._answered(process, verb, arguments, named)
                if verb in {"begin", "step"}:
                    await self._storm.boundary(self)
                await send(writer, answer)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.close()

    async def _answered(
        self, process: BaseProcess, verb: str, arguments: Sequence[Any], named: dict[str, Any]
    ) -> object:
        try:
            if verb == "begin":
                self._require_alone(process)
                await self._require_right(arguments[0], undoing=named["undoing"])
            elif verb == "step":
                work = self._works[arguments[0]]
                await self._require_right(work.action, undoing=work.undoing or named["finishing"])
            answer = await getattr(self._local, verb)(*arguments, **named)
            if verb == "begin":
                self._works[answer] = _Work(arguments[0], named["undoing"], process)
            if answer == DONE:
                self._works[arguments[0]].process = None
            self.machine.guests_write()
        except ClusterError as error:
            return error.message, None
        except AssertionError as error:
            self._storm.violated(f"host {self.name}: {error or traceback.format_exc()}")
            return str(error), None
        return None, answer

    def _require_alone(self, process: BaseProcess) -> None:
        """No other controller lives; one is known by its process, as numbers of processes are given out again."""
        others = {of.process for of in self._works.values()} - {None, process}
        assert not [other for other in others if other is not None and other.is_alive()], "two controllers act on it"

    async def _require_right(self, action: Action, *, undoing: bool) -> None:
        """Nobody acts while its lease is over, but to let nodes run on and faults end."""
        if not undoing and not isinstance(action, (SetLinks, HealLinks)):
            alive = await self._storm.is_alive(self.name)
            assert alive is not False, f"{type(action).__name__} of {action.node} without a lease"
