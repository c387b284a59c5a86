"""The commands for snapshots on a host without libvirt, and what they refuse."""

import pytest

from reconciler.model.record import ClusterRecord

from .conftest import Invoke

NAMED = ["create", "show", "revert", "delete", "verify"]
ALL = [*NAMED, "list", "tree", "gc"]


def words(command: str, cluster: str, name: str = "base") -> list[str]:
    return ["snapshot", command, cluster, *([name] if command in NAMED else [])]


@pytest.mark.parametrize("command", ALL)
def test_a_cluster_that_was_never_defined_is_not_found(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    ended = invoke(*words(command, "nope"))
    assert (ended.code, ended.out) == (1, "")
    assert "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined" in ended.err


@pytest.mark.parametrize("command", [command for command in ALL if command not in {"list", "show"}])
def test_a_libvirt_that_is_not_there_is_named_without_a_trace(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    ended = invoke(*words(command, "lab"))
    assert (ended.code, ended.out) == (1, "")
    assert "error [LIBVIRT_UNAVAILABLE]" in ended.err
    assert "Traceback" not in ended.err


def test_a_list_needs_no_libvirt(invoke: Invoke, lab: ClusterRecord) -> None:
    assert invoke("snapshot", "list", "lab").out.startswith("no snapshots; ")
    assert invoke("snapshot", "list", "lab", "-o", "json").data == []


def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("snapshot", "show", "lab", "base")
    assert ended.code == 1
    assert ended.err == "error [SNAPSHOT_NOT_FOUND]: cluster 'lab' has no snapshot 'base'\n  it has none\n"


@pytest.mark.parametrize("command", [command for command in NAMED if command != "verify"])
def test_what_cannot_be_a_name_is_refused_and_not_printed_raw(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    for name in ("../lab", "\x1b[2J\u202e", "\udcff", "a" * 5000, "", "a\n"):
        ended = invoke(*words(command, "lab", name))
        assert ended.code == 1
        assert "INTERNAL_ERROR" not in ended.err
        assert not set(ended.err) & {"\x1b", "\x9b", "\u202e"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "lab"],
        ["create", "lab", "base", "--ram"],
        ["revert", "lab", "base", "--timeout", "-1"],
        ["list", "lab", "-o", "xml"],
        ["gc", "lab", "base"],
        ["prune", "lab"],
    ],
)
def test_a_wrong_command_line_exits_1(invoke: Invoke, arguments: list[str]) -> None:
    ended = invoke("snapshot", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert "Error: " in ended.err


def test_the_help_names_every_command(invoke: Invoke) -> None:
    assert {line.split()[0] for line in invoke("snapshot", "--help").out.splitlines() if line.strip()} >= set(ALL)
