"""What a shell is offered for an unfinished word."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from reconciler.errors import PartialFailure
from reconciler.frontends.cli import completion
from reconciler.frontends.cli.app import app, run_command_line
from reconciler.frontends.cli.completion import (
    complete_cluster,
    complete_job,
    complete_node,
    complete_snapshot,
    complete_topology,
)
from reconciler.model.record import ClusterRecord
from reconciler.records.record_changes import with_snapshot
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases import template_listing
from reconciler.usecases.jobs import Jobs


def context(cluster: str | None) -> typer.Context:
    context = typer.Context(typer.main.get_command(app))
    context.params["cluster"] = cluster
    return context


def test_clusters_and_nodes_are_offered_by_their_beginning(lab: ClusterRecord) -> None:
    assert complete_cluster("l") == ["lab"]
    assert complete_cluster("x") == []
    assert complete_node(context("lab"), "") == ["alpha", "zeta"]
    assert complete_node(context("lab"), "z") == ["zeta"]
    assert complete_node(context("nope"), "") == complete_node(context(None), "") == []


def offered(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What a bash gets for an unfinished command line."""
    monkeypatch.setenv("_VMCLUSTER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"vmcluster {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
    with pytest.raises(SystemExit):
        app([], prog_name="vmcluster")
    return capfd.readouterr().out.split()


def test_a_fish_hears_by_the_exit_code_whether_there_is_anything_to_offer(
    lab: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_VMCLUSTER_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "is-args")
    codes = {}
    for line in ("status l", "status x"):
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"vmcluster {line}")
        codes[line] = run_command_line([])
    assert codes == {"status l": 0, "status x": 1}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("exec lab ", ["alpha", "zeta"]),
        ("exec lab z", ["zeta"]),
        ("exec lab alpha ", []),
        ("exec lab --nodes alpha,", ["alpha,zeta"]),
        ("push lab --nodes a", ["alpha"]),
        ("wait lab --for R", ["Running", "Ready"]),
        ("fault partition lab --shape one --node a", ["alpha"]),
        ("ssh-config lab l", ["lab"]),
        ("inventory l", ["lab"]),
        ("top l", ["lab"]),
    ],
)
def test_a_shell_completes_nodes_wherever_they_are_named(
    lab: ClusterRecord,
    line: str,
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert offered(line, monkeypatch, capfd) == names


async def test_snapshots_are_offered_by_their_own_and_by_the_topologys_names(
    state_dir: Path, lab: ClusterRecord
) -> None:
    spec = lab.spec.model_copy(update={"snapshot_names": {"baseline": "clean"}})
    record = with_snapshot(lab.model_copy(update={"spec": spec}), "clean", include_memory=False, quiesce=False)
    async with SqliteStore(state_dir) as store:
        await store.put(record, expected_generation=lab.generation, actor="test")
    assert await asyncio.to_thread(complete_snapshot, context("lab"), "") == ["baseline", "clean"]
    assert await asyncio.to_thread(complete_snapshot, context("nope"), "") == []


def test_jobs_are_offered_as_far_as_nodes_answer(lab: ClusterRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(_self: Jobs, cluster: str) -> list[SimpleNamespace]:
        found = [SimpleNamespace(job_id=of) for of in ("n0.1f2e3d", "n0.2a", "n1.3b")]
        if cluster == "lab":
            return found
        error = PartialFailure("the jobs cannot be listed")
        error.partial = found[:1]
        raise error

    monkeypatch.setattr(Jobs, "status", listed)
    assert complete_job(context("lab"), "n0.") == ["n0.1f2e3d", "n0.2a"]
    assert complete_job(context("other"), "") == ["n0.1f2e3d"]


def test_a_shell_does_not_wait_for_a_node_that_does_not_answer(
    lab: ClusterRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: Jobs, _cluster: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Jobs, "status", never)
    monkeypatch.setattr(completion, "_JOBS_TIMEOUT_S", 0.01)
    assert complete_job(context("lab"), "") == []


def test_topologies_are_offered_by_name(state_dir: Path) -> None:
    (state_dir.parent / "trio.yaml").touch()
    assert complete_topology("t") == ["trio"]


def test_a_broken_configuration_offers_nothing_and_says_nothing(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMCLUSTER_LOG_LEVEL", "LOUD")
    assert complete_cluster("") == []
    assert capfd.readouterr() == ("", "")


def test_templates_topologies_and_images_are_offered(
    lab: ClusterRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def list_templates(_runtime: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(key="5d41"), SimpleNamespace(key="9a0c")]

    monkeypatch.setattr(template_listing, "list_templates", list_templates)
    monkeypatch.setenv("VMCLUSTER_IMAGE_DIR", str(tmp_path))
    (tmp_path / "debian-12.qcow2").touch()
    (tmp_path / "here.yaml").touch()
    assert offered("template rm 5", monkeypatch, capfd) == ["5d41"]
    for line in ("topology show h", "adopt lab h"):
        assert offered(line, monkeypatch, capfd) == ["here"]
    assert offered("init --image d", monkeypatch, capfd) == ["debian-12"]
