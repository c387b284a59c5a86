"""The topologies in `topology_dir`: list, read and write them, without touching any cluster."""

import asyncio
from pathlib import Path

from reconciler.desired.load import find_problems, read_named
from reconciler.desired.topology_files import SENT, new_named, topology_name_of, topology_names
from reconciler.desired.topology_text import TopologyName, TopologyText, text_bytes
from reconciler.errors import ClusterError, Conflict, TopologyInvalid, TopologyNotFound
from reconciler.files.atomic import create_whole, write_whole
from reconciler.files.exposure import make_unexposed
from reconciler.files.roots import Reach
from reconciler.model.topology_file import TopologyFile, TopologySummary
from reconciler.settings import Settings
from reconciler.source.problems import Problem, problem_report
from reconciler.usecases.validation import file_problems

_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644


class Topologies:
    """The topologies that clients find by name."""

    def __init__(self, settings: Settings, reach: Reach) -> None:
        self._settings = settings
        self._reach = reach

    async def listing(self) -> list[TopologySummary]:
        """All topologies, sorted by name."""
        return await asyncio.to_thread(lambda: [self._summary(name) for name in topology_names(self._settings)])

    async def show(self, name: str) -> TopologyFile:
        """The text of a topology. Raises `TopologyNotFound`."""
        return await asyncio.to_thread(self._show, name)

    async def write(self, name: str, text: str, *, replace: bool = False) -> TopologyFile:
        """Write a topology's file; nothing changes on the host before it is applied.

        It is marked as sent, so that what it names is held to the reach of the callers that use it, then as now.

        Raises `TopologyInvalid` if the text has problems of its own or names files that its writer may not reach, and
        `Conflict` if another text has the name and is not to be replaced, or something that is no topology.
        """
        return await asyncio.to_thread(self._write, name, text, replace)

    def _summary(self, name: str) -> TopologySummary:
        try:
            problems = self._problems(TopologyName(name))
        except ClusterError as error:
            return TopologySummary(name=name, valid=False, problem=error.message)
        return TopologySummary(name=name, valid=not problems, problem=problems[0].message if problems else "")

    def _show(self, name: str) -> TopologyFile:
        path, content = read_named(name, self._settings)
        return self._file(path, content.decode(errors="backslashreplace"))

    def _write(self, name: str, text: str, replace: bool) -> TopologyFile:
        path, content = new_named(name, self._settings), text_bytes(text)
        given = TopologyText(name, content, self._settings.topology_dir)
        _, problems = find_problems(given, self._settings, with_files=False, reach=self._reach)
        if problems:
            raise TopologyInvalid(problem_report(name, problems))
        make_unexposed(path.parent, mode=_DIRECTORY_MODE)
        if not create_whole(path, content, mode=_FILE_MODE, attributes=SENT):
            self._replace(path, content, replace)
        return self._file(path, text)

    def _replace(self, path: Path, content: bytes, replace: bool) -> None:
        """Replace a topology, if it is one; nobody gets to read it who could not read the one before."""
        try:
            before = read_named(path.name, self._settings)[1]
        except TopologyNotFound as error:
            raise Conflict(error.message, hint="choose another name") from error
        if before == content:
            return
        if not replace:
            raise Conflict(f"{path} is another topology", hint="pass `replace`, or choose another name")
        write_whole(path, content, mode=path.stat().st_mode & _FILE_MODE, attributes=SENT)

    def _file(self, path: Path, text: str) -> TopologyFile:
        found = file_problems(self._problems(TopologyName(path.name)))
        return TopologyFile(name=topology_name_of(path.name), file=str(path), yaml=text, problems=found)

    def _problems(self, topology: TopologyName) -> tuple[Problem, ...]:
        return find_problems(topology, self._settings, with_files=True, reach=self._reach)[1]
