"""The commands for faults on a host without libvirt, and what they refuse."""

import pytest

from reconciler.frontends.cli.fault_tables import explanation_lines
from reconciler.frontends.cli.scoped_faults import words_of
from reconciler.model.record import ClusterRecord
from tests.unit.faults.samples import NODES, impair, partition

from .conftest import Invoke

WORDS = {
    "partition": ["alpha", "zeta"],
    "impair": ["alpha", "--rate", "100"],
    "heal": ["partition-1"],
    "list": [],
    "explain": ["alpha", "zeta"],
}


@pytest.mark.parametrize("command", WORDS)
def test_a_cluster_that_was_never_defined_is_not_found(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    ended = invoke("fault", command, "nope", *WORDS[command])
    assert (ended.code, ended.out) == (1, "")
    assert "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined" in ended.err


@pytest.mark.parametrize("command", ["partition", "impair"])
def test_a_libvirt_that_is_not_there_is_named_without_a_trace(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    ended = invoke("fault", command, "lab", *WORDS[command])
    assert (ended.code, ended.out) == (1, "")
    assert "error [LIBVIRT_UNAVAILABLE]" in ended.err
    assert "Traceback" not in ended.err


def test_a_fault_that_waits_for_libvirt_stays_desired_and_is_listed_and_explained(
    invoke: Invoke, lab: ClusterRecord
) -> None:
    invoke("fault", "partition", "lab", "alpha", "zeta", "--direction", "to")
    (listed,) = invoke("fault", "list", "lab", "-o", "json").data
    assert (listed["handle_id"], listed["affected_nodes"]) == ("partition-1", ["zeta", "alpha"])
    assert listed["parameters"]["grudge"] == {"zeta": ["alpha"]}
    assert "alpha -x> zeta" in invoke("fault", "list", "lab").out
    assert invoke("fault", "explain", "lab", "alpha", "zeta").out.startswith("alpha -> zeta: nothing arrives\n")
    assert "no replies" in invoke("fault", "explain", "lab", "zeta", "alpha").out
    invoke("fault", "heal", "lab", "partition-1")
    assert invoke("fault", "list", "lab").out.startswith("no faults; ")


@pytest.mark.parametrize("handle", ["partition-1", "nope", "partition-", "partition-01", "@host", "9" * 5000])
def test_a_handle_that_never_was_is_not_found(invoke: Invoke, lab: ClusterRecord, handle: str) -> None:
    ended = invoke("fault", "heal", "lab", handle)
    assert ended.code == 1
    assert "error [FAULT_NOT_FOUND]: cluster 'lab' has no fault" in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["impair", "lab", "alpha"], "NO_PARAMETERS"),
        (["impair", "lab", "alpha", "--loss", "500"], "INVALID_ARGUMENT"),
        (["impair", "lab", "alpha", "--delay", "nan"], "INVALID_ARGUMENT"),
        (["impair", "lab", "alpha", "alpha", "--loss", "5"], "INVALID_ARGUMENT"),
        (["impair", "lab", "nobody", "--loss", "5"], "NODE_NOT_FOUND"),
        (["partition", "lab"], "INVALID_ARGUMENT"),
        (["partition", "lab", "alpha"], "INVALID_ARGUMENT"),
        (["partition", "lab", "alpha", "zeta", "--seed", "1"], "INVALID_ARGUMENT"),
        (["partition", "lab", "alpha", "zeta", "--duration", "0"], "INVALID_ARGUMENT"),
        (["partition", "lab", "alpha", "zeta", "--shape", "halves"], "INVALID_ARGUMENT"),
        (["explain", "lab", "alpha", "nobody"], "NODE_NOT_FOUND"),
    ],
)
def test_what_cannot_be_is_refused_and_not_desired(
    invoke: Invoke, lab: ClusterRecord, words: list[str], complaint: str
) -> None:
    ended = invoke("fault", *words)
    assert (ended.code, ended.out) == (1, "")
    assert f"error [{complaint}]" in ended.err
    assert invoke("fault", "list", "lab", "-o", "json").data == []


@pytest.mark.parametrize(
    "words",
    [
        ["partition", "lab", "a", "b", "--while"],
        ["partition", "lab", "--shape", "grudge", "--drop", "a"],
        ["partition", "lab", "--shape", "grudge", "--drop", "a=b", "--drop", "a=c"],
        ["partition", "lab", "a", "b", "--shape", "thirds"],
        ["heal", "lab"],
        ["heal", "lab", "partition-1", "--all"],
        ["list", "lab", "-o", "xml"],
    ],
)
def test_a_wrong_command_line_exits_1(invoke: Invoke, words: list[str]) -> None:
    ended = invoke("fault", *words)
    assert (ended.code, ended.out) == (1, "")
    assert "Error: " in ended.err


@pytest.mark.parametrize(
    ("held", "words"),
    [("make -j2 'a b'", ["make", "-j2", "a b"]), ("'make -j2'", ["make", "-j2"]), ("true", ["true"])],
)
def test_one_word_with_blanks_is_a_command_line(held: str, words: list[str]) -> None:
    assert words_of(held) == words


def test_an_explanation_names_every_fault() -> None:
    from reconciler.faults.explain import explain_link
    from reconciler.model.faults import Halves

    faults = [impair("n1", "n3", delay_ms=20, name="impairment-1"), impair("n1", loss_pct=5, name="impairment-2")]
    assert list(explanation_lines(explain_link(faults, NODES, "n1", "n3"))) == [
        "n1 -> n3: delays by 20 ms, loses 5 %",
        "  impairment-1: impairment: delays by 20 ms",
        "  impairment-2: impairment: loses 5 %",
        "  round trips take 20 ms longer",
    ]
    first, *_ = explanation_lines(explain_link([partition(Halves())], NODES, "n1", "n3"))
    assert first == "n1 -> n3: nothing arrives"
