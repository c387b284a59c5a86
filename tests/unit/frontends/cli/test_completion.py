"""What a shell is offered for an unfinished word."""

from pathlib import Path

import pytest
import typer

from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.completion import complete_cluster, complete_node, complete_topology
from reconciler.model.record import ClusterRecord


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


def test_topologies_are_offered_by_name(state_dir: Path) -> None:
    (state_dir.parent / "trio.yaml").touch()
    assert complete_topology("t") == ["trio"]


def test_a_broken_configuration_offers_nothing_and_says_nothing(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMCLUSTER_LOG_LEVEL", "LOUD")
    assert complete_cluster("") == []
    assert capfd.readouterr() == ("", "")
