"""Installs a tree that is on a node, and uninstalls it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from reconciler.artifacts import facts, node_scripts
from reconciler.artifacts.installed import InstalledRecord, parse_record, render_record
from reconciler.artifacts.module_file import module_name
from reconciler.artifacts.tree_entries import TreeEntry, path_text
from reconciler.artifacts.upload import NODE_STEP_TIMEOUT_S, NodePlace, run_script, tail
from reconciler.errors import Conflict, InvalidArgument, OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.guest_answers import parsing_answer
from reconciler.guest.pool import SshPool
from reconciler.model.choices import InstallMode
from reconciler.model.results import ExecResult, NodeInstall, ToolError

log = structlog.get_logger(__name__)

_OUTPUT_LIMIT_BYTES = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class _Way:
    """How one mode installs: the tool that a node needs, the scripts, and what installing runs, in words."""

    tool: str
    install: str
    uninstall: str
    runs: str


_WAYS: Mapping[InstallMode, _Way] = {
    InstallMode.MODPROBE_PATH: _Way(
        "depmod",
        node_scripts.MODPROBE_PATH,
        node_scripts.UNINSTALL_MODPROBE_PATH,
        "copying {files} modules, then `depmod` over all modules of its kernel",
    ),
    InstallMode.MAKE_INSTALL: _Way(
        "make", node_scripts.MAKE_INSTALL, node_scripts.UNINSTALL_MAKE, "`make install` in the tree, then `depmod`"
    ),
    InstallMode.DEB: _Way("dpkg", node_scripts.DEB, node_scripts.UNINSTALL_DEB, "`dpkg -i` of {files} packages"),
    InstallMode.RPM: _Way("rpm", node_scripts.RPM, node_scripts.UNINSTALL_RPM, "`rpm -U` of {files} packages"),
}
_MAY_BE_FORGOTTEN = "`forget_installation` marks it as not installed, and leaves its files on the node"


@dataclass(frozen=True, slots=True)
class Examined:
    """What decides whether an artifact fits a node; `vermagic` is empty if the node's kernel has no modules.

    `lacking` are those of `node_scripts.TOOLS` that the node does not have.
    """

    synced: bool
    release: str
    vermagic: str
    installed: InstalledRecord | None
    lacking: frozenset[str] = frozenset()


async def examine_node(ssh: SshPool, place: NodePlace) -> Examined:
    """Examine a node; changes nothing."""
    said = await run_script(ssh, place.address, node_scripts.EXAMINE, [place.base, place.artifact_id])
    with parsing_answer(place.address.node, "its kernel and what is installed"):
        state, release, vermagic, lacking, record = said.split("\n", 4)
    installed = _known(record, place.address.node)
    return Examined(state == "complete", release, vermagic.strip(), installed, frozenset(lacking.split()))


def payload_of(entries: Sequence[TreeEntry], mode: InstallMode) -> list[TreeEntry]:
    """The files of a tree to install. Raises `InvalidArgument` if there are none, or too many with one name."""
    match mode:
        case InstallMode.MODPROBE_PATH:
            found = _one_per_module(facts.modules(entries))
        case InstallMode.DEB | InstallMode.RPM:
            found = facts.packages(entries, f".{mode.value}".encode())
        case InstallMode.MAKE_INSTALL:
            return []
        case _:
            assert_never(mode)
    if not found:
        what = "kernel module" if mode is InstallMode.MODPROBE_PATH else f".{mode.value} package"
        raise InvalidArgument(f"there is no {what} in this artifact", hint="register a built tree, or use another mode")
    return found


def require_fit(payload: Sequence[TreeEntry], examined: Examined, node: str) -> None:
    """Raise `InvalidArgument` if the node's kernel would refuse one of the modules for its version magic."""
    for entry in payload:
        theirs = examined.vermagic or examined.release
        ours = entry.vermagic if examined.vermagic else facts.release_of(entry.vermagic)
        if ours.split() != theirs.split():
            raise InvalidArgument(
                f"module {path_text(entry.path)} is for kernel {entry.vermagic or 'unknown'!r}, "
                f"but node {node} runs {theirs!r}; nothing was installed on any node",
                node=node,
                hint="build it for the kernel that the node runs, with the same configuration",
            )


def require_tool(mode: InstallMode, examined: Examined, node: str) -> None:
    """Raise `InvalidArgument` if the node lacks the program that this mode of installing uses."""
    if (tool := _WAYS[mode].tool) in examined.lacking:
        raise InvalidArgument(
            f"node {node} has no `{tool}`, which install mode {mode} needs; nothing was installed on any node",
            node=node,
            hint=f"install {tool} on the node, or use another mode",
        )


def require_same_mode(mode: InstallMode, examined: Examined, node: str) -> None:
    """Raise `Conflict` if something is installed in another mode, which this one would not undo."""
    found = examined.installed
    if found is not None and found.mode is not mode:
        state = "is installed" if found.complete else "is partly installed"
        raise Conflict(
            f"on node {node} artifact {found.artifact_id} {state} with mode {found.mode}, which mode {mode} "
            "does not undo; nothing was installed on any node",
            node=node,
            hint="`artifact_uninstall` uninstalls it first",
        )


def what_runs(mode: InstallMode, files: int) -> str:
    """What installing so many files in this mode runs on a node."""
    return _WAYS[mode].runs.format(files=files)


async def install_on_node(
    ssh: SshPool,
    place: NodePlace,
    mode: InstallMode,
    payload: Sequence[TreeEntry],
    found: Examined,
    *,
    timeout_s: float,
) -> NodeInstall:
    """Install on one node, and record there that it was done."""
    earlier = found.installed.packages if found.installed else ()
    begun = InstalledRecord(place.artifact_id, place.tree, mode, found.release, earlier, complete=False)
    arguments = [place.tree, found.release, render_record(begun).decode()]
    command = node_scripts.render_call(_WAYS[mode].install, arguments, user=place.address.user)
    names = b"".join(b"./" + entry.path + b"\0" for entry in payload)
    answer = await ssh.run(
        place.address, command, timeout_s=timeout_s, stdin=names, output_limit_bytes=_OUTPUT_LIMIT_BYTES, own=True
    )
    if answer.exit_code != 0 or answer.timed_out:
        return _failed("the installation", answer, place.address)
    said = node_scripts.parse_installed(answer.stdout)
    # Packages of an earlier artifact that are not in this one stay installed, and are uninstalled together with it.
    packages = tuple(sorted({*earlier, *said.packages}))
    await _remember(ssh, place.address, replace(begun, packages=packages, complete=True))
    return _done(answer, place.address, said)


async def uninstall_from_node(ssh: SshPool, address: GuestAddress, *, timeout_s: float) -> NodeInstall:
    """Uninstall what the node's record says is installed; do nothing if there is no record."""
    said = await run_script(ssh, address, node_scripts.RECALL, [])
    with parsing_answer(address.node, "what is installed"):
        lacking, text = said.split("\n", 1)
    record = parse_record(text, node=address.node)
    if record is None:
        return _nothing_done(address, "nothing is installed")
    if (tool := _WAYS[record.mode].tool) in lacking.split() and record.mode is not InstallMode.MODPROBE_PATH:
        _require_never_done(record, tool, address.node)
        return await forget_installation(
            ssh, address, f"the node has no {tool}, so its installation cannot have changed anything"
        )
    _require_undoable(record, address.node)
    command = node_scripts.render_call(_WAYS[record.mode].uninstall, [record.tree, record.release], user=address.user)
    names = b"".join(each.encode() + b"\0" for each in record.packages)
    answer = await ssh.run(address, command, timeout_s=timeout_s, stdin=names, own=True)
    if answer.exit_code != 0 or answer.timed_out:
        return _failed("uninstalling", answer, address, hint=_MAY_BE_FORGOTTEN)
    return _done(answer, address, node_scripts.parse_installed(answer.stdout))


async def forget_installation(
    ssh: SshPool, address: GuestAddress, why: str = "recorded as not installed; its files stay"
) -> NodeInstall:
    """Delete the node's record of what is installed, without uninstalling it."""
    await run_script(ssh, address, node_scripts.FORGET, [])
    return _nothing_done(address, why)


def _nothing_done(address: GuestAddress, why: str) -> NodeInstall:
    return NodeInstall(node_name=address.node, exit_code=0, installed_module_paths=(), depmod_output="", output=why)


def _known(text: str, node: str) -> InstalledRecord | None:
    try:
        return parse_record(text, node=node)
    except OperationFailed as error:  # a new installation writes a new record
        log.warning("installed_record_damaged", node=node, cause=error.message)
        return None


def _require_never_done(record: InstalledRecord, tool: str, node: str) -> None:
    """Raise `Conflict` if something was installed by a tool that the node no longer has."""
    if record.complete or record.packages:
        raise Conflict(
            f"artifact {record.artifact_id} is installed with mode {record.mode}, "
            f"but node {node} has no `{tool}` to uninstall it",
            node=node,
            hint=f"install {tool} on the node; {_MAY_BE_FORGOTTEN}",
        )


def _require_undoable(record: InstalledRecord, node: str) -> None:
    if not record.complete and record.mode in (InstallMode.DEB, InstallMode.RPM):
        raise Conflict(
            f"the installation of artifact {record.artifact_id} with mode {record.mode} was interrupted, "
            "and it is not known which of its packages are installed",
            node=node,
            hint=f"install it again, then uninstall it; {_MAY_BE_FORGOTTEN}",
        )


def _one_per_module(found: Sequence[TreeEntry]) -> list[TreeEntry]:
    """The first of several copies of a module. Raises `InvalidArgument` if two modules of one name differ."""
    by_name: dict[str | None, TreeEntry] = {}
    for entry in found:
        first = by_name.setdefault(module_name(entry.path), entry)
        if first.content != entry.content:
            raise InvalidArgument(
                f"{path_text(first.path)} and {path_text(entry.path)} are different modules with the same name",
                hint="register only the part of the tree that you want to install",
            )
    return list(by_name.values())


async def _remember(ssh: SshPool, address: GuestAddress, record: InstalledRecord) -> None:
    command = node_scripts.render_call(node_scripts.REMEMBER, [], user=address.user)
    answer = await ssh.run(address, command, timeout_s=NODE_STEP_TIMEOUT_S, stdin=render_record(record), own=True)
    if answer.exit_code != 0 or answer.timed_out:
        raise OperationFailed(
            f"installed, but the node could not record it: {tail(answer.stderr)}",
            node=address.node,
            hint="free some space on the node, then install again",
        )


def _failed(what: str, answer: ExecResult, address: GuestAddress, hint: str | None = None) -> NodeInstall:
    how = "timed out" if answer.timed_out else f"ended with {answer.exit_code}"
    error = OperationFailed(f"{what} {how}: {tail(answer.stderr)}", node=address.node, hint=hint)
    return NodeInstall(
        node_name=address.node,
        exit_code=answer.exit_code,
        installed_module_paths=(),
        depmod_output="",
        output=tail(answer.stderr),
        error=ToolError.of(error),
    )


def _done(answer: ExecResult, address: GuestAddress, said: node_scripts.Installed) -> NodeInstall:
    return NodeInstall(
        node_name=address.node,
        exit_code=answer.exit_code,
        installed_module_paths=said.module_paths,
        depmod_output=said.depmod_output,
        output=tail(answer.stderr),
    )
