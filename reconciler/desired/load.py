"""From a topology file to a resolved specification, reporting every problem of file and host at once."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.desired.allowed_paths import topologies_of, within_reach
from reconciler.desired.host_checks import check_host
from reconciler.desired.host_files import find_host_files
from reconciler.desired.qemu_access import check_qemu_access
from reconciler.desired.resolve import resolve_topology
from reconciler.desired.topology_checks import check_modes, check_topology
from reconciler.desired.topology_files import find_named, find_topology, was_sent
from reconciler.desired.topology_text import GivenTopology, TopologyName, TopologyText
from reconciler.desired.topology_values import TopologyValues, gather_values
from reconciler.error_codes import ErrorCode
from reconciler.errors import (
    ClusterError,
    Conflict,
    HostCapabilityMissing,
    ImageNotFound,
    InvalidArgument,
    TopologyInvalid,
    TopologyNotFound,
)
from reconciler.files.atomic import reporting_os_errors
from reconciler.files.roots import EVERYWHERE, Reach, Roots, opened
from reconciler.model.fields import PATTERN_WORDS
from reconciler.model.file_use import FileUse
from reconciler.model.host_view import HostView
from reconciler.model.record import ClusterSpec
from reconciler.model.topology import FREE_KEY_PREFIX, Topology
from reconciler.settings import Settings
from reconciler.source.composer import parse_source
from reconciler.source.problems import Finding, Location, Problem, in_order, problem_report, unquoted
from reconciler.source.reading import SourceUnreadable, read_source_file
from reconciler.source.tree import SourceDocument
from reconciler.source.validation_messages import explain_validation

_NOTHING: Mapping[str, str] = {}
_NAMES_CLUSTER = re.compile(rb"^cluster_name[ \t]*:", re.MULTILINE)
_OTHER_REQUIRED_KEYS = frozenset({"base_image", "network", "nodes"})
"""A file with all of them is a topology whose `cluster_name` is missing or misspelt."""
_EMPTY = "the file is empty (start with `cluster_name: ...`)"
_NO_TOPOLOGY = "this is not a topology: it has no `cluster_name` (start with `cluster_name: NAME`)"
_ERRORS: Mapping[ErrorCode, type[ClusterError]] = {
    ErrorCode.IMAGE_NOT_FOUND: ImageNotFound,
    ErrorCode.HOST_CAPABILITY_MISSING: HostCapabilityMissing,
    ErrorCode.CONFLICT: Conflict,
}


@dataclass(frozen=True, slots=True)
class LoadedTopology:
    """A topology file as far as it could be read: `topology` is None if one of its fields is wrong.

    Nothing is quoted from a file that is not a topology (`is_one`): a caller may have named it to learn its contents.
    """

    document: SourceDocument
    topology: Topology | None
    values: TopologyValues
    findings: tuple[Finding, ...]
    is_one: bool = True

    def problems(self, of_host: Iterable[Finding] = ()) -> tuple[Problem, ...]:
        """Every problem in the order of the file.

        A value that is doubtful as YAML, or that contradicts the file, is not reported against the host as well.
        """
        if not self.is_one:
            return self._problems_of_no_topology()
        doubtful = {(problem.line, problem.column) for problem in self.document.problems}
        refused = {finding.location for finding in self.findings}
        found = [*self.findings, *(finding for finding in of_host if finding.location not in refused)]
        problems = [self.document.problem(finding) for finding in found]
        fresh = [problem for problem in problems if (problem.line, problem.column) not in doubtful]
        problems = list(dict.fromkeys([*self.document.problems, *fresh]))
        return in_order(problems)

    def _problems_of_no_topology(self) -> tuple[Problem, ...]:
        """Where the text is no YAML or no mapping; which keys of a topology a mapping lacks is not the point."""
        root = self.document.root
        if root is not None and isinstance(root.value, dict):
            found = self.document.problems or (Problem("", 1, 1, _NO_TOPOLOGY),)
        else:
            found = (*self.document.problems, *map(self.document.problem, self.findings))
        return in_order(unquoted(found, _NO_TOPOLOGY))


def load_spec(
    topology: GivenTopology,
    settings: Settings,
    reach: Reach = EVERYWHERE,
    impossible: Mapping[str, str] = _NOTHING,
    seen: HostView | None = None,
    uses: Iterable[FileUse] = (),
) -> tuple[str, ClusterSpec]:
    """The cluster name and resolved specification of a topology, checked against itself and against the host.

    Paths out of `reach` are problems, whether or not they exist. `impossible` maps the faults that this host cannot
    make to the reasons; `seen` is the host, if it could be observed; `uses` says how its files are used, by this
    cluster too. Raises `TopologyNotFound`; `ImageNotFound` if only images, kernels or initrds are wrong;
    `HostCapabilityMissing` if only faults or KVM are; `Conflict` if only networks or disks of others conflict;
    otherwise `TopologyInvalid` with all problems.
    """
    name, loaded = _load(topology, settings)
    values, out_of_reach = within_reach(loaded.values, _reach_of(topology, reach, settings), settings)
    host_files = find_host_files(values, settings, uses, seen.others if seen is not None else {})
    of_host = check_host(values, seen) if seen is not None else ()
    closed = check_qemu_access(values, seen.qemu) if seen is not None and seen.qemu is not None else ()
    impossible_here = (*_impossible_faults(loaded.topology, impossible), *_placed_elsewhere(loaded.topology, settings))
    found = [*out_of_reach, *host_files.findings, *of_host, *closed, *impossible_here]
    _refuse(name, loaded.problems(found))
    assert loaded.topology is not None, "a topology without a value has problems"
    return loaded.topology.cluster_name, resolve_topology(loaded.topology, host_files, settings)


def find_problems(
    topology: GivenTopology, settings: Settings, *, with_files: bool, reach: Reach = EVERYWHERE
) -> tuple[str, tuple[Problem, ...]]:
    """The name that a topology's problems are reported under, and all problems that need no look at libvirt.

    Files out of `reach` are problems, whether or not they exist. With `with_files`, the images, disks and keys that it
    names are checked too. Raises `TopologyNotFound`.
    """
    name, loaded = _load(topology, settings)
    values, out_of_reach = within_reach(loaded.values, _reach_of(topology, reach, settings), settings)
    of_files = find_host_files(values, settings).findings if with_files else ()
    return name, loaded.problems((*out_of_reach, *of_files))


def parse_topology(content: bytes, base_dir: Path, settings: Settings | None = None) -> LoadedTopology:
    """Read and check a topology; relative paths in it start from `base_dir`. Touches no file, never raises.

    What the topology omits is taken from `settings`; without them it is not checked.
    """
    document = parse_source(content, _takes_octal)
    context = {"base_dir": base_dir, "home": _home(), "image_dir": settings.image_dir if settings else None}
    data = document.root.value if document.root else None
    topology, findings = _validate(document, data, context)
    values = gather_values(data, context)
    if settings is not None:
        overlay_dir, ssh_user = values.overlay_dir or settings.overlay_dir, values.ssh_user or settings.ssh_user
        values = replace(values, overlay_dir=overlay_dir, ssh_user=ssh_user)
    return LoadedTopology(
        document,
        topology,
        values,
        (*findings, *check_topology(values), *check_modes(values, document)),
        _is_topology(document, content),
    )


def _is_topology(document: SourceDocument, content: bytes) -> bool:
    """Whether the text is meant as a topology: a mapping with a cluster's name, or with all other required keys."""
    if document.root is None:
        return _NAMES_CLUSTER.search(content) is not None
    keys = document.root.value if isinstance(document.root.value, dict) else {}
    return "cluster_name" in keys or keys.keys() >= _OTHER_REQUIRED_KEYS


def _takes_octal(location: Location) -> bool:
    """Whether cloud-init reads a value, as YAML 1.1, or the value only exists for its anchor (`x-...` keys)."""
    first = str(location[0]) if location else ""
    is_in_node = first == "nodes" and location[2:3] == ("user_data",)
    return first == "user_data" or first.startswith(FREE_KEY_PREFIX) or is_in_node


def _reach_of(topology: GivenTopology, reach: Reach, settings: Settings) -> Reach:
    """What a topology may name: a file in `topology_dir` is its administrator's, a text is its sender's.

    It is asked after the file was read, so no text is taken for that of a file before it.
    """
    if isinstance(topology, TopologyText):
        return reach.of_text
    if isinstance(topology, TopologyName) and _was_sent(find_named(topology.name, settings)):
        return reach.of_text
    return reach


def _was_sent(path: Path) -> bool:
    with reporting_os_errors(path):
        return was_sent(path)


def _load(topology: GivenTopology, settings: Settings) -> tuple[str, LoadedTopology]:
    """The name that the topology's problems are reported under, and the topology."""
    if isinstance(topology, TopologyText):
        return topology.name, parse_topology(topology.content, topology.base_dir, settings)
    if isinstance(topology, TopologyName):
        path = find_named(topology.name, settings)
        return str(path), _load_file(path, settings, topologies_of(settings))
    path = find_topology(topology, settings)
    return str(path), _load_file(path, settings)


def read_named(name: str, settings: Settings) -> tuple[Path, bytes]:
    """The file of a topology in `topology_dir`, and its text. Raises `TopologyNotFound`, also if it is no topology."""
    path = find_named(name, settings)
    content = _read_file(path, topologies_of(settings))
    if not parse_topology(content, path.parent).is_one:
        raise TopologyNotFound(f"{path}: {_NO_TOPOLOGY}")
    return path, content


def _load_file(path: Path, settings: Settings | None, *roots: Roots) -> LoadedTopology:
    content = _read_file(path, *roots)
    return parse_topology(content, Path(os.path.abspath(path)).parent, settings)  # noqa: PTH100 keeps symlinks


def _read_file(path: Path, *roots: Roots) -> bytes:
    try:
        found = opened(path, *roots)
        return read_source_file(found.handle)
    except InvalidArgument as error:
        raise TopologyNotFound(error.message, hint="put the file itself there, not a link to it") from error
    except (SourceUnreadable, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        message = f"the topology file {path} cannot be read: {why}"
        raise TopologyNotFound(message, hint="name a file that this user may read") from error


def _validate(document: SourceDocument, data: Any, context: Mapping[str, Any]) -> tuple[Topology | None, list[Finding]]:
    if document.root is None:
        return None, [] if document.problems else [Finding((), _EMPTY, plain=True)]
    try:
        return Topology.model_validate(data, context=dict(context)), []
    except ValidationError as error:
        return None, explain_validation(error, Topology, document, PATTERN_WORDS)


def _refuse(name: str, problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    message = problem_report(name, problems)
    codes = {problem.code for problem in problems}
    raise (_ERRORS.get(codes.pop(), TopologyInvalid) if len(codes) == 1 else TopologyInvalid)(message)


def _impossible_faults(topology: Topology | None, impossible: Mapping[str, str]) -> Iterator[Finding]:
    for index, fault in enumerate(topology.faults if topology else ()):
        if fault.name in impossible:
            yield Finding(("faults", index, *fault.blocks), impossible[fault.name], ErrorCode.HOST_CAPABILITY_MISSING)


def _placed_elsewhere(topology: Topology | None, settings: Settings) -> Iterator[Finding]:
    """Requests for a host of several, while the records are kept for this one only."""
    if topology is None or settings.etcd is not None:
        return
    message = "there is only this host to choose from (remove it, or set `store` to the etcd of several hosts)"
    if "placement" in topology.model_fields_set:
        yield Finding(("placement",), message, about_key=True)
    for index, node in enumerate(topology.nodes):
        if node.host is not None:
            yield Finding(("nodes", index, "host"), message, about_key=True)


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
