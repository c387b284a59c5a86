"""Taking out what is installed, by the real scripts in a shell that stands for a node of few programs."""

import asyncio
import shutil
from pathlib import Path
from typing import cast

import pytest

from reconciler.artifacts.installation import examine_node, forget_installation, uninstall_from_node
from reconciler.artifacts.installed import InstalledRecord, render_record
from reconciler.artifacts.node_scripts import RECORD_PATH
from reconciler.artifacts.upload import NodePlace
from reconciler.errors import Conflict
from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.model.choices import InstallMode
from reconciler.model.results import ExecResult

PROGRAMS = ("sh", "cat", "rm", "uname", "find", "head")


class Node:
    """Runs what a node would, with a record and programs of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.programs = directory, directory / "bin"
        self.record = directory / Path(RECORD_PATH).name
        self.address = GuestAddress(
            cluster="c", node="n1", host="192.0.2.1", user="root", key_path=directory / "key", host_key=""
        )
        self.programs.mkdir()
        for name in PROGRAMS:
            (self.programs / name).symlink_to(shutil.which(name) or name)

    @property
    def ssh(self) -> SshPool:
        return cast("SshPool", self)

    def has(self, program: str, script: str) -> None:
        (self.programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / program).chmod(0o755)

    def says(self, mode: InstallMode, *packages: str, complete: bool) -> None:
        record = InstalledRecord("ab" * 32, str(self.directory), mode, "6.1.0", packages, complete)
        self.record.write_bytes(render_record(record))

    async def run(
        self, _address: GuestAddress, command: str, *, timeout_s: float, own: bool, stdin: bytes = b""
    ) -> ExecResult:
        for path in (RECORD_PATH, "/lib/modules", "/etc/depmod.d"):
            command = command.replace(path, str(self.directory / Path(path).name))
        shell = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", command), stdin=-1, stdout=-1, stderr=-1, env={"PATH": str(self.programs)}
        )
        stdout, stderr = await asyncio.wait_for(shell.communicate(stdin), timeout_s)
        return ExecResult(
            exit_code=shell.returncode or 0,
            stdout=stdout.decode(),
            stderr=stderr.decode(),
            duration_s=0.0,
            timed_out=False,
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_what_a_node_lacks_is_seen_before_anything_is_written_there(node: Node) -> None:
    node.has("dpkg", "exit 1")
    examined = await examine_node(node.ssh, NodePlace(node.address, "/opt/none", "ab" * 32))
    assert (examined.synced, examined.installed) == (False, None)
    assert examined.lacking == {"depmod", "make", "rpm"}


@pytest.mark.parametrize("mode", [InstallMode.MAKE_INSTALL, InstallMode.DEB, InstallMode.RPM])
async def test_an_installation_that_could_not_begin_for_want_of_a_tool_is_dropped(
    node: Node, mode: InstallMode
) -> None:
    node.says(mode, complete=False)
    outcome = await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert outcome.error is None
    assert "cannot have changed anything" in outcome.output
    assert not node.record.exists()


@pytest.mark.parametrize(
    ("mode", "tool", "packages", "complete"),
    [(InstallMode.MAKE_INSTALL, "make", [], True), (InstallMode.DEB, "dpkg", ["of an earlier artifact"], False)],
)
async def test_what_is_installed_is_not_dropped_for_want_of_the_tool_but_when_told_to(
    node: Node, mode: InstallMode, tool: str, packages: list[str], *, complete: bool
) -> None:
    node.says(mode, *packages, complete=complete)
    with pytest.raises(Conflict, match=f"node n1 has no `{tool}` to uninstall it") as refused:
        await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert "forget" in (refused.value.hint or "")
    assert node.record.exists()
    await forget_installation(node.ssh, node.address)
    assert not node.record.exists()


async def test_a_tree_without_a_way_back_says_so_and_what_is_left_to_do(node: Node) -> None:
    node.says(InstallMode.MAKE_INSTALL, complete=True)
    node.has("make", "echo 'No rule to make target' >&2; exit 2")
    outcome = await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert outcome.error is not None
    assert "uninstalling ended with 2: No rule to make target" in outcome.error.message
    assert "forget" in outcome.error.message
    assert node.record.exists()


async def test_an_index_that_nothing_can_renew_keeps_nothing_installed(node: Node) -> None:
    node.says(InstallMode.MAKE_INSTALL, complete=True)
    node.has("make", "exit 0")
    outcome = await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert (outcome.error, node.record.exists()) == (None, False)


@pytest.mark.parametrize("depmod", ["exit 0", None])
async def test_modules_of_an_interrupted_installation_are_taken_out_with_and_without_an_index(
    node: Node, depmod: str | None
) -> None:
    node.says(InstallMode.MODPROBE_PATH, complete=False)
    place = node.directory / "modules" / "6.1.0" / "extra" / "vmcluster"
    place.mkdir(parents=True)
    (place / "mod.ko").touch()
    if depmod:
        node.has("depmod", f'echo "$@" >{node.directory}/indexed; {depmod}')
    outcome = await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert (outcome.error, node.record.exists(), place.exists()) == (None, False, False)
    if depmod:
        assert (node.directory / "indexed").read_text() == "6.1.0\n"


async def test_an_index_that_could_not_be_renewed_keeps_the_record_for_another_try(node: Node) -> None:
    node.says(InstallMode.MODPROBE_PATH, complete=False)
    (node.directory / "modules" / "6.1.0").mkdir(parents=True)
    node.has("depmod", "exit 1")
    outcome = await uninstall_from_node(node.ssh, node.address, timeout_s=5)
    assert outcome.error is not None
    assert node.record.exists()
