"""The commands for build trees on a host without libvirt, and what people read, letter by letter."""

from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import OperationFailed
from reconciler.frontends.cli.artifact_tables import show_artifacts, show_install, show_sync
from reconciler.model.record import ClusterRecord
from reconciler.model.results import InstallStatus, NodeInstall, NodeSync, SyncStatus, ToolError
from tests.unit.artifacts.samples import module, program

from .conftest import Invoke

Captured = pytest.CaptureFixture[str]
ID_A, ID_B = "a1" * 32, "b2" * 32
MIB = 1024**2


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "tests").mkdir(parents=True)
    (root / "mod.ko").write_bytes(module())
    (root / "tool").write_bytes(program())
    (root / "out").symlink_to("/etc")
    return root


def registered(invoke: Invoke, tree: Path) -> Any:
    ended = invoke("artifact", "register", str(tree), "-o", "json")
    assert ended.code == 0, ended.err
    return ended.data


def test_a_tree_is_registered_listed_shown_compared_and_removed(invoke: Invoke, tree: Path) -> None:
    first = registered(invoke, tree)
    assert (first["modules"], first["userspace_bins"], first["test_framework_path"]) == (["mod.ko"], ["tool"], "tests")
    (tree / "mod.ko").write_bytes(module(payload=b"changed"))
    (tree / "README").touch()
    (tree / "out").unlink()
    (tree / "tests").rmdir()
    second = registered(invoke, tree)
    assert [each["artifact_id"] for each in invoke("artifact", "list", "-o", "json").data] == [
        first["artifact_id"],
        second["artifact_id"],
    ]
    diff = invoke("artifact", "diff", first["artifact_id"][:10], second["artifact_id"][:10])
    assert diff.out == "~ module  mod.ko\n+ other   README\n- other   tests\n2 other changes\n"
    assert invoke("artifact", "diff", first["artifact_id"], first["artifact_id"]).out == "0 other changes\n"
    assert "freed" in invoke("artifact", "remove", first["artifact_id"]).out
    gone = invoke("artifact", "show", first["artifact_id"])
    assert (gone.code, gone.out) == (1, "")
    assert "error [ARTIFACT_NOT_FOUND]" in gone.err


def test_of_very_many_other_changes_the_first_are_named(invoke: Invoke, tree: Path) -> None:
    first = registered(invoke, tree)
    for number in range(300):
        (tree / f"{number:03}").touch()
    second = registered(invoke, tree)
    ids = first["artifact_id"], second["artifact_id"]
    lines = invoke("artifact", "diff", *ids).out.splitlines()
    assert lines == [*(f"+ other   {number:03}" for number in range(20)), "300 other changes"]
    data = invoke("artifact", "diff", *ids, "-o", "json").data
    assert (data["other_changes"], len(data["added_others"]), data["changed_others"]) == (300, 200, [])


def test_what_is_left_out_of_an_artifact_is_said(invoke: Invoke, tree: Path) -> None:
    shown = invoke("artifact", "register", str(tree), "--label", "purpose=trial").out.splitlines()
    assert shown[0].startswith("artifact  ")
    assert f"tree      {tree}" in shown
    assert "kernel    6.1.0-56-cloud-amd64" in shown
    assert "label purpose trial" in shown
    assert shown[-1] == "left out  out: a link to an absolute path, /etc"


def test_nothing_registered_says_how_to(capsys: Captured) -> None:
    show_artifacts([])
    assert capsys.readouterr().out == "no artifacts; `vmcluster artifact register TREE` keeps one\n"


@pytest.mark.parametrize("command", ["sync", "install"])
def test_an_artifact_that_is_not_registered_goes_nowhere(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    ended = invoke("artifact", command, "lab", ID_A)
    assert (ended.code, ended.out) == (1, "")
    assert "error [ARTIFACT_NOT_FOUND]" in ended.err


@pytest.mark.parametrize("command", ["sync", "install", "uninstall"])
def test_a_cluster_that_was_never_defined_is_not_found(
    invoke: Invoke, lab: ClusterRecord, tree: Path, command: str
) -> None:
    words = [] if command == "uninstall" else [registered(invoke, tree)["artifact_id"]]
    ended = invoke("artifact", command, "nope", *words)
    assert (ended.code, ended.out) == (1, "")
    assert "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined" in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sync", "lab", "{id}", "--dest", "relative"], "error [INVALID_ARGUMENT]: dest_base 'relative'"),
        (["sync", "lab", "{id}", "--node", "nobody"], "error [NODE_NOT_FOUND]"),
        (["sync", "lab", "{id}", "--nodes", "one,two"], "cluster 'lab' has no node"),
        (["install", "lab", "{id}", "--mode", "deb"], "error [INVALID_ARGUMENT]: there is no .deb package"),
        (["install", "lab", "{id}", "--mode", "zip"], "Error: "),
        (["register", "/nonexistent"], "error [INVALID_ARGUMENT]: cannot read /nonexistent: "),
        (["register", "/", "--label", "no-value"], "Error: "),
        (["show", "zz"], "error ["),
    ],
)
def test_what_cannot_be_is_refused(
    invoke: Invoke, lab: ClusterRecord, tree: Path, words: list[str], complaint: str
) -> None:
    artifact_id = registered(invoke, tree)["artifact_id"] if "{id}" in words else ""
    ended = invoke("artifact", *(word.format(id=artifact_id) for word in words))
    assert (ended.code, ended.out) == (1, "")
    assert complaint in ended.err


def test_a_sync_is_told_per_node(capsys: Captured) -> None:
    broken = ToolError.of(OperationFailed("rsync ended with 12: \x1b[2J", node="n2"))
    show_sync(
        SyncStatus(
            artifact_id=ID_A,
            path=f"/opt/{ID_A}",
            per_node={
                "n0": a_sync("n0", 3 * MIB // 2, basis=ID_B),
                "n1": a_sync("n1", 0, skipped=True),
                "n2": a_sync("n2", 0, error=broken),
            },
        )
    )
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        f"artifact a1a1a1a1a1a1 at /opt/{ID_A}",
        "",
        "NODE   STATE          SENT      TOOK    BASIS",
        "n0     complete       1.5 MiB   1.2 s   b2b2b2b2b2b2",
        "n1     was complete   -         1.2 s   -",
        "n2     failed         0 B       1.2 s   -",
    ]


def test_an_installation_is_told_per_node(capsys: Captured) -> None:
    done = NodeInstall(
        node_name="n0", exit_code=0, installed_module_paths=("/lib/\x1b[2Ja.ko", "/lib/b.ko"), depmod_output="a\nb"
    )
    failed = done.model_copy(
        update={
            "node_name": "n1",
            "installed_module_paths": (),
            "depmod_output": "",
            "error": ToolError.of(OperationFailed("no", node="n1")),
        }
    )
    show_install(InstallStatus(artifact_id=ID_A, per_node={"n0": done, "n1": failed}))
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["NODE", "STATE", "MODULES", "DEPMOD"]
    assert first.startswith("n0     done     /lib/")
    assert first.isprintable()
    assert second.split() == ["n1", "failed", "-", "-"]


def a_sync(
    node: str, sent: int, *, skipped: bool = False, basis: str | None = None, error: ToolError | None = None
) -> NodeSync:
    return NodeSync(
        node_name=node,
        bytes_transferred=sent,
        duration_s=1.21,
        rsync_exit_code=12 if error else 0,
        skipped=skipped,
        basis=basis,
        error=error,
    )
