"""The topologies in `topology_dir`: list, read and write them, without touching any cluster."""

import asyncio
from pathlib import Path

from reconciler.desired.load import find_problems, read_named
from reconciler.desired.topology_files import new_named, topology_names
from reconciler.desired.topology_text import TopologyName, TopologyText
from reconciler.errors import ClusterError, Conflict, TopologyInvalid
from reconciler.files.atomic import write_whole
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

        Raises `TopologyInvalid` if the text has problems of its own or names files that its writer may not reach, and
        `Conflict` if another text has the name and is not to be replaced.
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
        return self._file(name, path, content.decode(errors="backslashreplace"))

    def _write(self, name: str, text: str, replace: bool) -> TopologyFile:
        path, content = new_named(name, self._settings), text.encode()
        given = TopologyText(name, content, self._settings.topology_dir)
        _, problems = find_problems(given, self._settings, with_files=False, reach=self._reach)
        if problems:
            raise TopologyInvalid(problem_report(name, problems))
        if path.exists() and not replace and read_named(name, self._settings)[1] != content:
            raise Conflict(f"{path} is another topology", hint="pass `replace`, or choose another name")
        make_unexposed(path.parent, mode=_DIRECTORY_MODE)
        write_whole(path, content, mode=_FILE_MODE)
        return self._file(name, path, text)

    def _file(self, name: str, path: Path, text: str) -> TopologyFile:
        found = file_problems(self._problems(TopologyName(name)))
        return TopologyFile(name=name, file=str(path), yaml=text, problems=found)

    def _problems(self, topology: TopologyName) -> tuple[Problem, ...]:
        return find_problems(topology, self._settings, with_files=True, reach=self._reach)[1]
