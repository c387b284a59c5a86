"""Paths that a hostile client names, and changes while they are looked at: nothing closed is read or written."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, SshError
from reconciler.files.roots import PlaceToMake, Reach, Roots
from reconciler.guest import tar_transfer
from reconciler.guest.packing import Moved
from reconciler.guest.pool import SshPool
from reconciler.usecases.host_paths import find_place, open_source
from tests.hostile import ROUNDS
from tests.hostile.client import (
    SECRET,
    Json,
    Sandbox,
    Server,
    be_in_turn,
    meddling,
    point_in_turn,
    require_refused_or_done,
    serving,
)
from tests.sshd import Sshd, anywhere
from tests.waiting import PATIENCE_S

TRIES = max(20, ROUNDS // 10)
MOST_TRIES = 100 * TRIES
"""Where two threads fall into step, what is looked at may long be the same."""


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox.made_in(tmp_path / "host")
    before = sandbox.picture()
    yield sandbox
    assert sandbox.picture() == before
    assert sandbox.leaks() == []


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[Server]:
    with serving(sandbox) as server:
        server.greet()
        yield server
        server.require_well()


def test_no_tool_reads_or_writes_what_is_closed(server: Server, sandbox: Sandbox) -> None:
    project, closed = sandbox.project, sandbox.closed
    for path in (
        closed / "tree",
        closed / "shadow",
        project / "link-dir",
        project / "link-file",
        Path("/etc"),
        Path("/"),
    ):
        pushed = server.call("node_push", {"cluster_name": "lab", "source_path": str(path), "dest_path": "/x"})
        built = server.call("artifact_register", {"source_path": str(path)})
        for said in (pushed, built):
            assert said["error"]["code"] == "INVALID_ARGUMENT"
            assert (
                f"{path} is not below a directory that `host_read_roots` allows: {project}" in said["error"]["message"]
            )
    for path in (closed / "new", closed / "shadow", project / "link-dir" / "new", closed / "home/.ssh/authorized_keys"):
        copy = {"cluster_name": "lab", "node_name": "n0", "source_path": "/x", "dest_path": str(path), "replace": True}
        said = server.call("node_pull", copy)
        assert said["error"]["code"] == "INVALID_ARGUMENT"
        assert f"{path} is not below a directory that `host_write_roots` allows: {project}" in said["error"]["message"]
    for tool, argument in (
        ("cluster_define", "topology_name"),
        ("cluster_plan", "topology"),
        ("cluster_apply", "topology"),
    ):
        for name in ("linked", "linked.yaml", "odd", str(closed / "lab.yaml"), "../closed/lab", "./lab", "lab.yaml"):
            said = server.call(tool, {argument: name})
            assert said["error"]["code"] == ("TOPOLOGY_INVALID" if name == "odd" else "TOPOLOGY_NOT_FOUND")
            assert SECRET not in json.dumps(said)


def borrow_repository(build: Path, theirs: Path) -> None:
    shutil.rmtree(build / ".git")
    (build / ".git").write_text(f"gitdir: {theirs}/.git\n")


def borrow_objects(build: Path, theirs: Path) -> None:
    (build / ".git/objects/info/alternates").write_text(f"{theirs}/.git/objects\n")


def link_to_objects_and_branches(build: Path, theirs: Path) -> None:
    for name in ("objects", "refs/heads"):
        shutil.rmtree(build / ".git" / name)
        (build / ".git" / name).symlink_to(theirs / ".git" / name)


def link_to_packs_and_a_branch(build: Path, theirs: Path) -> None:
    subprocess.run(["git", "-C", theirs, "repack", "-adq"], check=True)
    shutil.rmtree(build / ".git/objects/pack")
    (build / ".git/objects/pack").symlink_to(theirs / ".git/objects/pack")
    branch = "refs/heads/secret-branch"
    (build / ".git" / branch).unlink()
    (build / ".git" / branch).symlink_to(theirs / ".git" / branch)


def link_to_links(build: Path, theirs: Path) -> None:
    """The first links stay among what is open."""
    link_to_objects_and_branches(build, theirs)
    for name in ("objects", "refs"):
        (build / ".git" / name).rename(build / name)
        (build / ".git" / name).symlink_to(build / name)


BORROWED = [borrow_repository, borrow_objects, link_to_objects_and_branches, link_to_packs_and_a_branch, link_to_links]


@pytest.mark.parametrize("borrow", BORROWED)
def test_nothing_is_told_of_a_repository_that_a_build_only_points_to(
    server: Server, sandbox: Sandbox, borrow: Callable[[Path, Path], None]
) -> None:
    build, theirs = sandbox.project / "build", repository(sandbox.root / "state" / "theirs")
    repository(build)
    (build / ".git/hooks/post-commit").symlink_to(sandbox.closed)
    assert server.call("artifact_register", {"source_path": str(build)})["result"]["git_branch"] == "secret-branch"
    borrow(build, theirs)
    said = server.call("artifact_register", {"source_path": str(build)})
    assert (said["result"]["git_sha"], said["result"]["git_branch"]) == (None, None)


def repository(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    commit = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first")
    for words in (("init", "-q", "-b", "secret-branch"), commit):
        subprocess.run(["git", "-C", place, *words], check=True)
    return place


def test_a_build_whose_parts_are_swapped_for_links_all_the_time_has_nothing_closed_in_it(
    server: Server, sandbox: Sandbox
) -> None:
    project, closed = sandbox.project, sandbox.closed
    (project / "build" / "sub").rename(project / "sub")
    (project / "build" / "config").rename(project / "config")
    answers: list[Json] = []

    def turn() -> None:
        point_in_turn(project / "flips", project / "build", closed / "tree")
        be_in_turn(project / "build" / "sub", project / "sub", closed / "tree" / "sub")
        be_in_turn(project / "build" / "config", project / "config", closed / "shadow")

    with meddling(turn):
        for path in [project / "flips", project / "build", project / "build" / "sub"] * TRIES:
            answers.append(server.call("artifact_register", {"source_path": str(path)}))  # noqa: PERF401  one by one
    require_refused_or_done({"result": {"structuredContent": answer}} for answer in answers)


def client_reach(sandbox: Sandbox) -> Reach:
    return Reach(read=Roots("host_read_roots", (sandbox.project,)), write=Roots("host_write_roots", (sandbox.project,)))


def test_a_tree_that_is_packed_while_its_directories_are_swapped_holds_nothing_closed(sandbox: Sandbox) -> None:
    """A directory takes turns with a link: what was looked at as the one may be the other when it is opened."""
    project, closed, spool = sandbox.project, sandbox.closed, sandbox.root / "state"
    spool.mkdir()
    (project / "build" / "sub").rename(project / "sub")
    streams = []
    with meddling(lambda: be_in_turn(project / "build" / "sub", project / "sub", closed / "tree")):
        for _ in range(TRIES):
            try:
                parcel = tar_transfer._pack(
                    open_source(project / "build", client_reach(sandbox)), spool, lambda _: None
                )
            except ClusterError:
                continue  # it changed under our eyes
            with os.fdopen(parcel.descriptor, "rb") as stream:
                stream.seek(0)
                streams.append(SECRET.encode() in stream.read())
    assert not any(streams)
    assert streams


async def test_a_copy_whose_destination_is_swapped_for_links_arrives_in_the_open_or_nowhere(
    sandbox: Sandbox, pool: SshPool, sshd: Sshd, tmp_path: Path
) -> None:
    project, closed = sandbox.project, sandbox.closed
    source = tmp_path / "of-the-node"
    source.write_text("from the node")
    source.chmod(0o600)
    (project / "real").mkdir()
    arrived = 0
    with meddling(lambda: point_in_turn(project / "into", project / "real", closed / "tree")):
        for number in range(MOST_TRIES):
            if arrived and number >= TRIES:
                break
            try:
                place = find_place(project / "into" / f"new-{number}" / "copy", client_reach(sandbox))
                await pulled(pool, sshd, source, place)
                arrived += 1
            except ClusterError:
                continue
    copies = list((project / "real").rglob("copy"))
    assert len(copies) == arrived > 0
    assert {copy.stat().st_mode & 0o7777 for copy in copies} == {0o600}
    assert not list((project / "real").rglob(".vmcluster*"))


async def test_a_key_that_became_a_pipe_keeps_nobody_waiting(pool: SshPool, sshd: Sshd, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    with pytest.raises(SshError, match=r"key cannot be used: .*not a regular file"):
        await pool.run(replace(sshd.address, key_path=tmp_path / "key"), "true", timeout_s=PATIENCE_S)


async def pulled(
    pool: SshPool,
    sshd: Sshd,
    source: Path,
    place: PlaceToMake,
    *,
    replace: bool = False,
    told: Callable[[int], None] = lambda _: None,
    require_free: tar_transfer.RequireFree = anywhere,
) -> Moved:
    return await tar_transfer.pull_tree(
        pool,
        sshd.address,
        str(source),
        place,
        require_free=require_free,
        replace=replace,
        limit_bytes=1 << 20,
        timeout_s=PATIENCE_S,
        on_bytes=told,
    )
