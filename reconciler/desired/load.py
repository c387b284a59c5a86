"""From a topology file to a resolved specification, with every problem of file and host in one report."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.desired.checks import check_claims, check_modes
from reconciler.desired.claims import Claims, gather_claims
from reconciler.desired.find import find_named, find_topology
from reconciler.desired.given import GivenTopology, TopologyName, TopologyText
from reconciler.desired.host_checks import check_host
from reconciler.desired.reach import topologies_of, within_reach
from reconciler.desired.resolve import resolve
from reconciler.desired.survey import survey_host
from reconciler.errors import (
    ClusterError,
    Conflict,
    ErrorCode,
    HostCapabilityMissing,
    ImageNotFound,
    InvalidArgument,
    TopologyInvalid,
    TopologyNotFound,
)
from reconciler.files.roots import EVERYWHERE, Reach, Roots, opened
from reconciler.model.fields import PATTERN_WORDS
from reconciler.model.file_use import FileUse
from reconciler.model.host_view import HostView
from reconciler.model.record import ClusterSpec
from reconciler.model.topology import FREE_KEY_PREFIX, Topology
from reconciler.settings import Settings
from reconciler.source.composer import parse_source
from reconciler.source.problems import Finding, Location, Problem, in_order, report, unquoted
from reconciler.source.reading import SourceUnreadable, read_source_file
from reconciler.source.tree import SourceDocument
from reconciler.source.words import explain

_NOTHING: Mapping[str, str] = {}
_NAMES_CLUSTER = re.compile(rb"^cluster_name[ \t]*:", re.MULTILINE)
_EMPTY = "the file is empty (begin with `cluster_name: ...`)"
_NO_TOPOLOGY = "this is no topology: it has no `cluster_name` (begin with `cluster_name: NAME`)"
_ERRORS: Mapping[ErrorCode, type[ClusterError]] = {
    ErrorCode.IMAGE_NOT_FOUND: ImageNotFound,
    ErrorCode.HOST_CAPABILITY_MISSING: HostCapabilityMissing,
    ErrorCode.CONFLICT: Conflict,
}


@dataclass(frozen=True, slots=True)
class LoadedTopology:
    """A topology file as far as it could be read: `topology` is None where a field of it is wrong.

    Of a file that is none (`is_one`), which somebody may have named to learn what is in it, nothing is quoted.
    """

    document: SourceDocument
    topology: Topology | None
    claims: Claims
    findings: tuple[Finding, ...]
    is_one: bool = True

    def problems(self, of_host: Iterable[Finding] = ()) -> tuple[Problem, ...]:
        """Every problem in the order of the file.

        A value that YAML itself makes doubtful, or that contradicts the file, is not also held against the host.
        """
        doubtful = {(problem.line, problem.column) for problem in self.document.problems}
        refused = {finding.location for finding in self.findings}
        found = [*self.findings, *(finding for finding in of_host if finding.location not in refused)]
        problems = [self.document.problem(finding) for finding in found]
        fresh = [problem for problem in problems if (problem.line, problem.column) not in doubtful]
        problems = list(dict.fromkeys([*self.document.problems, *fresh]))
        return in_order(problems if self.is_one else unquoted(problems, _NO_TOPOLOGY))


def load_spec(
    topology: GivenTopology,
    settings: Settings,
    reach: Reach = EVERYWHERE,
    impossible: Mapping[str, str] = _NOTHING,
    seen: HostView | None = None,
    uses: Iterable[FileUse] = (),
) -> tuple[str, ClusterSpec]:
    """The cluster name and resolved specification of a topology, checked against itself and against the host.

    Paths in it that are out of `reach` are problems, whatever is there. `impossible` are the faults, by name, that this
    host cannot make, and why; `seen` is the host where it could be looked at, and `uses` what its files are to others,
    and to this cluster. Raises `TopologyNotFound`; `ImageNotFound` where images, kernels or initrds are all that is
    wrong, `HostCapabilityMissing` where faults or KVM are, `Conflict` where others have a network or a disk in the way;
    and `TopologyInvalid` with every problem of whatever kind otherwise.
    """
    name, loaded = _load(topology, settings)
    claims, out_of_reach = within_reach(loaded.claims, reach, settings)
    survey = survey_host(claims, settings, uses)
    of_host = check_host(claims, seen) if seen is not None else ()
    found = [*out_of_reach, *survey.findings, *of_host, *_impossible_faults(loaded.topology, impossible)]
    _refuse(name, loaded.problems(found))
    assert loaded.topology is not None, "a topology that is not valid has problems"
    return loaded.topology.cluster_name, resolve(loaded.topology, survey, settings)


def find_problems(topology: GivenTopology, settings: Settings, *, with_files: bool) -> tuple[str, tuple[Problem, ...]]:
    """What a topology's problems are told of, and all of them, without a look at libvirt.

    With files, also those of the images, disks and keys that it names. Raises `TopologyNotFound`.
    """
    name, loaded = _load(topology, settings)
    return name, loaded.problems(survey_host(loaded.claims, settings).findings if with_files else ())


def load_topology(path: Path) -> Topology:
    """The topology in a file, checked against itself only; raises `TopologyInvalid` and `TopologyNotFound`."""
    loaded = _load_file(path, None)
    _refuse(str(path), loaded.problems())
    assert loaded.topology is not None, "a topology that is not valid has problems"
    return loaded.topology


def parse_topology(content: bytes, base_dir: Path, settings: Settings | None = None) -> LoadedTopology:
    """Read and check a topology; relative paths in it start at `base_dir`. Touches no file, never raises.

    What the topology leaves out is taken from `settings`; without them it is not checked.
    """
    document = parse_source(content, _takes_octal)
    context = {"base_dir": base_dir, "home": _home()}
    data = document.root.value if document.root else None
    topology, findings = _validate(document, data, context)
    claims = gather_claims(data, context)
    if settings is not None:
        overlay_dir, ssh_user = claims.overlay_dir or settings.overlay_dir, claims.ssh_user or settings.ssh_user
        claims = replace(claims, overlay_dir=overlay_dir, ssh_user=ssh_user)
    return LoadedTopology(
        document,
        topology,
        claims,
        (*findings, *check_claims(claims), *check_modes(claims, document)),
        _is_topology(document, content),
    )


def _is_topology(document: SourceDocument, content: bytes) -> bool:
    """Whether the text is meant as a topology: a mapping with a cluster's name, as far as it can be read."""
    if document.root is None:
        return _NAMES_CLUSTER.search(content) is not None
    return isinstance(document.root.value, dict) and "cluster_name" in document.root.value


def _takes_octal(location: Location) -> bool:
    """Whether a value goes to cloud-init, which reads YAML 1.1, or is only kept for such places (`x-...` keys)."""
    first = str(location[0]) if location else ""
    is_in_node = first == "nodes" and location[2:3] == ("user_data",)
    return first == "user_data" or first.startswith(FREE_KEY_PREFIX) or is_in_node


def _load(topology: GivenTopology, settings: Settings) -> tuple[str, LoadedTopology]:
    """The topology, and what its problems are told of."""
    if isinstance(topology, TopologyText):
        return topology.name, parse_topology(topology.content, topology.base_dir, settings)
    if isinstance(topology, TopologyName):
        path = find_named(topology.name, settings)
        return str(path), _load_file(path, settings, topologies_of(settings))
    path = find_topology(topology, settings)
    return str(path), _load_file(path, settings)


def _load_file(path: Path, settings: Settings | None, *roots: Roots) -> LoadedTopology:
    try:
        found = opened(path, *roots)
        content = read_source_file(found.handle)
    except InvalidArgument as error:
        raise TopologyNotFound(error.message, hint="put the file itself there, not a link to it") from error
    except (SourceUnreadable, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        message = f"the topology file {path} cannot be read: {why}"
        raise TopologyNotFound(message, hint="name a file that this user can read") from error
    return parse_topology(content, Path(os.path.abspath(path)).parent, settings)  # noqa: PTH100 keeps symlinks


def _validate(document: SourceDocument, data: Any, context: Mapping[str, Any]) -> tuple[Topology | None, list[Finding]]:
    if document.root is None:
        return None, [] if document.problems else [Finding((), _EMPTY, plain=True)]
    try:
        return Topology.model_validate(data, context=dict(context)), []
    except ValidationError as error:
        return None, explain(error, Topology, document, PATTERN_WORDS)


def _refuse(name: str, problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    message = report(name, problems)
    codes = {problem.code for problem in problems}
    raise (_ERRORS.get(codes.pop(), TopologyInvalid) if len(codes) == 1 else TopologyInvalid)(message)


def _impossible_faults(topology: Topology | None, impossible: Mapping[str, str]) -> Iterator[Finding]:
    for index, fault in enumerate(topology.faults if topology else ()):
        if fault.name in impossible:
            block = "partition" if fault.impair is None else "impair"
            yield Finding(("faults", index, block), impossible[fault.name], ErrorCode.HOST_CAPABILITY_MISSING)


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
