"""Copies files and trees to and from a guest as one tar stream over one channel, never whole in memory.

The receiving side unpacks beside the destination and renames to it, so an interrupted transfer leaves the destination
as it was. What is pushed to guests is packed once, into a file without a name: all guests get the same bytes, none
waits for the slowest, and a source that cannot be read is discovered before any guest is touched.

Measured against SFTP (asyncssh 2.24) with an emulated guest on a busy host: one file of 20 MB took 4.4 s to 6.2 s
against 3.9 s to 4.7 s, 500 files of 4 KiB took 2.0 s against 8.1 s to 10.3 s. SFTP pays round trips for every file.
"""

import asyncio
import fcntl
import os
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.errors import ClusterError, InvalidArgument, OperationFailed, SshError, SshTimeout
from reconciler.files.roots import Opened, PlaceToMake
from reconciler.files.space import SpaceGuard
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import MarkedStream, begin_mark, group_mark, render_kill, render_own
from reconciler.guest.packing import COMPLETE, ROOT, Moved, pack
from reconciler.guest.pool import SshPool
from reconciler.guest.request import unstarted
from reconciler.guest.unpacking import Unpacked, require_free_place, unpack

if TYPE_CHECKING:
    import asyncssh

_STDERR_LIMIT_BYTES = 4000
_PIPE_BYTES = 1024 * 1024
_KILL_S = 3.0

OnBytes = Callable[[int], None]
"""Called from another thread with the number of bytes of content transferred so far."""
RequireFree = Callable[[PlaceToMake], Awaitable[None]]
"""Raises if a copy must not take this place."""


@dataclass(frozen=True, slots=True)
class _Ended:
    exit_code: int | None
    stderr: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """A packed file or tree: the stream, in a file that disappears with its descriptor, and what is in it."""

    descriptor: int
    moved: Moved


@asynccontextmanager
async def packed_parcel(source: Opened, directory: Path, on_bytes: OnBytes) -> AsyncIterator[Parcel]:
    """Pack a source for guests into `directory`, for the duration of the context. Raises `OperationFailed`."""
    packing = asyncio.create_task(asyncio.to_thread(_pack, source, directory, on_bytes))
    try:
        parcel = await asyncio.shield(packing)
    except asyncio.CancelledError:
        packing.add_done_callback(_discard)
        raise
    try:
        yield parcel
    finally:
        os.close(parcel.descriptor)


def _pack(source: Opened, directory: Path, on_bytes: OnBytes) -> Parcel:
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperationFailed(f"cannot create a temporary file in {directory}: {error.strerror}") from error
    try:
        space = SpaceGuard(directory)

        def watched(passed: int) -> None:
            space.passed(passed)
            on_bytes(passed)

        moved = pack(source, os.dup(descriptor), watched)
        return Parcel(descriptor, moved)
    except BaseException:
        os.close(descriptor)
        raise


def _discard(packing: asyncio.Task[Parcel]) -> None:
    if not packing.cancelled() and packing.exception() is None:
        os.close(packing.result().descriptor)


async def push_parcel(
    ssh: SshPool,
    address: GuestAddress,
    parcel: Parcel,
    destination: str,
    *,
    replace: bool,
    timeout_s: float,
    on_bytes: OnBytes,
) -> None:
    """Put the contents of a parcel at exactly `destination` on a guest; directories above it are created.

    An existing file is replaced in one step. An existing directory is refused with `InvalidArgument`, unless `replace`.
    `on_bytes` counts bytes of the stream.
    """
    needed = parcel.moved.size_bytes
    script = render_receive(absolute_on_node(destination), secrets.token_hex(4), replace=replace, needed_bytes=needed)
    read_end, write_end = _pipe()
    feeding = asyncio.create_task(asyncio.to_thread(_feed, parcel, write_end, on_bytes))
    try:
        ended = await _run(ssh, address, script, secrets.token_hex(8), timeout_s, stdin=read_end)
    finally:
        _close(read_end)  # if the guest stopped early, feeding ends with a broken pipe
        (fed,) = await asyncio.gather(feeding, return_exceptions=True)
    if isinstance(fed, BaseException) and not isinstance(fed, BrokenPipeError):
        raise fed
    if full := _FULL.fullmatch(ended.stderr):
        raise _no_room(address, destination, int(full[1]), needed)
    if ended.exit_code != 0 or fed is not None:
        raise _failed(address, f"{destination} was not written", ended)


def _feed(parcel: Parcel, write_end: int, on_bytes: OnBytes) -> None:
    """Write the stream into a pipe and close it; each call has its own offset, so pipes can be fed at the same time."""
    passed = 0
    try:
        while sent := os.sendfile(write_end, parcel.descriptor, passed, _PIPE_BYTES):
            passed += sent
            on_bytes(passed)
    finally:
        os.close(write_end)


async def pull_tree(
    ssh: SshPool,
    address: GuestAddress,
    source: str,
    destination: PlaceToMake,
    *,
    require_free: RequireFree,
    replace: bool = False,
    limit_bytes: int,
    timeout_s: float,
    on_bytes: OnBytes,
) -> Moved:
    """Copy a file or a tree from a guest to exactly `destination`.

    The destination must not exist or, with `replace`, may be a file; `require_free` is asked when the copy is complete,
    as it may have taken long. Raises `InvalidArgument` for any other destination, and for a source that does not exist.
    """
    path = absolute_on_node(source)
    await asyncio.to_thread(require_free_place, destination, path.name, replace=replace)
    token = secrets.token_hex(8)
    read_end, write_end = _pipe()
    unpacking = asyncio.create_task(
        asyncio.to_thread(
            unpack,
            read_end,
            path,
            destination,
            limit_bytes=limit_bytes,
            on_bytes=on_bytes,
            begin=begin_mark(token),
        )
    )
    sending = asyncio.create_task(_run(ssh, address, render_send(path), token, timeout_s, stdout=write_end))
    sending.add_done_callback(lambda _: _close(write_end))
    try:
        await asyncio.wait({unpacking, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done() and unpacking.exception():
            sending.cancel()  # nothing reads it now
        await asyncio.wait({unpacking, sending})
    finally:
        sending.cancel()
        ended, unpacked = await asyncio.gather(sending, unpacking, return_exceptions=True)
        if isinstance(unpacked, Unpacked) and not (isinstance(ended, _Ended) and ended.exit_code in _READ):
            await asyncio.to_thread(unpacked.discard)
    pulled = _pulled(address, source, ended, unpacked)
    try:
        await require_free(pulled.place_now)
    except BaseException:
        await asyncio.to_thread(pulled.discard)
        raise
    return await asyncio.to_thread(pulled.publish, replace=replace)


_READ = frozenset({0, 1})
"""Exit codes of GNU tar(1) that leave a usable copy: 1 means that a file changed while it was read; tar says which."""


def _pulled(
    address: GuestAddress,
    source: str,
    ended: _Ended | BaseException,
    unpacked: Unpacked | BaseException,
) -> Unpacked:
    """The outcome of a pull; a cause on the guest's side, if there is one, takes precedence over ours."""
    if isinstance(ended, _Ended) and ended.exit_code is not None and ended.exit_code not in _READ and ended.stderr:
        raise _failed(address, f"{source} was not read", ended)
    if isinstance(ended, ClusterError):
        raise ended
    if isinstance(unpacked, BaseException):
        raise unpacked
    if isinstance(ended, BaseException):
        raise ended
    if ended.exit_code not in _READ:
        raise _failed(address, f"{source} was not read", ended)
    if ended.stderr:
        unpacked.moved.skipped.append(ended.stderr)
    return unpacked


def render_receive(destination: PurePosixPath, token: str, *, replace: bool, needed_bytes: int = 0) -> str:
    """The guest's side of a push: unpack beside the destination, then rename; leftovers are always removed.

    First it looks at the nearest existing directory above the destination (statfs(2), by stat(1)): whether it can hold
    copies, and has room.
    """
    target, parent = shlex.quote(str(destination)), shlex.quote(str(destination.parent))
    aside = f'mv -T -- {target} "$t/old"' if replace else f'{{ echo "{_TAKEN}" >&2; exit 1; }}'
    return (
        f'd={parent}; while [ ! -d "$d" ]; do d=${{d%/*}}; d=${{d:-/}}; done; '
        f'case $(stat -f -c %T -- "$d" 2>/dev/null) in {"|".join(_UNSIZED)}) echo "{_IS_KERNELS}" >&2; exit 1 ;; esac; '
        'set -- $(stat -f -c "%a %S" -- "$d" 2>/dev/null); '
        f'if [ $# = 2 ] && [ $(($1 * $2)) -lt {needed_bytes} ]; then echo "free bytes: $(($1 * $2))" >&2; exit 1; fi; '
        f'set -e; mkdir -p -- {parent}; cd -- {parent}; t=.vmcluster-push.{token}; mkdir -m 700 -- "$t"; '
        "trap 'rm -rf -- \"$t\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; "
        f'tar -xpof - -C "$t"; [ -e "$t/{COMPLETE}" ] || {{ echo "the copy was cut short" >&2; exit 1; }}; '
        f"if [ -d {target} ] && [ ! -L {target} ]; then {aside}; "
        f'elif [ -e {target} ] && [ ! -d {target} ] && [ ! -f {target} ]; then echo "{_IS_SPECIAL}" >&2; exit 1; '
        f'elif [ -d "$t/{ROOT}" ] && [ -e {target} ]; then echo "{_IS_FILE}" >&2; exit 1; fi; '
        f'mv -fT -- "$t/{ROOT}" {target}'
    )


def _no_room(address: GuestAddress, destination: str, free_bytes: int, needed_bytes: int) -> OperationFailed:
    room = f"{free_bytes >> 20} MiB are free there, but the copy needs {-(-needed_bytes >> 20)} MiB"
    return OperationFailed(f"{destination} was not written: {room}", node=address.node, hint=_HINTS[_FULL_DISK])


_FULL = re.compile(r"free bytes: ([0-9]{1,20})")
_FULL_DISK = "No space left on device"
_TAKEN = "a directory already exists there"
_IS_FILE = "a file already exists there, and a directory would replace it"
_IS_SPECIAL = "a device, a socket or a pipe is there, which a copy must not replace"
_IS_KERNELS = "only the kernel makes files there"
_MISSING = "it does not exist, or cannot be read"
_LINK = "it is a symbolic link"
_SPECIAL = "it is a device, a socket or a pipe"
_REFUSALS = {
    _TAKEN: "`replace` replaces it, with everything in it; or give a path in it",
    _IS_SPECIAL: "use another path; to send data to it, write to it with a command on the node",
    _IS_KERNELS: "to set a value there, write it with a command on the node",
    _IS_FILE: "use another path, or remove the file first",
    _MISSING: "check what is there with `ls`",
    _LINK: "give its target, which `readlink -f` prints",
    _SPECIAL: "only files and directories are copied: read it into a file first",
}
"""What the guest's side prints itself when the request cannot be met."""
_HINTS = {_FULL_DISK: "make room on the node", "Wrote only": "make room on the node"}
"""Words of GNU tar(1); it prints either of them for a full file system."""


def render_send(source: PurePosixPath) -> str:
    """The guest's side of a pull: links stay links, holes stay holes.

    Files in /proc, /sys and the like report a meaningless size, which tar(1) would trust, so they are first read into
    an ordinary file.
    """
    path, name = shlex.quote(str(source)), shlex.quote(f"./{source.name}")
    send = f"tar -cSf - --format=posix -- {name}"
    return (
        f'if [ -L {path} ]; then echo "{_LINK}" >&2; exit 2; elif [ ! -e {path} ]; then echo "{_MISSING}" >&2; exit 2; '
        f'elif [ ! -f {path} ] && [ ! -d {path} ]; then echo "{_SPECIAL}" >&2; exit 2; fi; '
        f"case $(stat -f -c %T -- {path} 2>/dev/null) in {'|'.join(_UNSIZED)}) "
        "t=$(mktemp -d /tmp/.vmcluster-pull.XXXXXX) || exit 2; trap 'rm -rf -- \"$t\"' EXIT; "
        "trap 'exit 2' HUP INT TERM PIPE; "
        f"(ulimit -f {_UNSIZED_LIMIT_BLOCKS}; "
        f'exec cp -dR --preserve=mode,timestamps -- {path} "$t/") && code=0 || code=1; '
        f"[ $code = 0 ] || [ -d {path} ] || exit 2; "
        f'cd -- "$t" && {send} && exit $code; exit ;; esac; '
        f"cd -- {shlex.quote(str(source.parent))} && exec {send}"
    )


_UNSIZED = (
    *("proc", "sysfs", "debugfs", "tracefs", "configfs", "securityfs", "cgroupfs", "cgroup2fs"),
    *("bpf_fs", "pstorefs", "efivarfs", "selinux", "binfmt_misc", "fusectl"),
)
"""stat(1) of coreutils' names of the file systems whose files get their content when they are read."""
_UNSIZED_LIMIT_BLOCKS = 2 * 1024**2
"""In units of 512 bytes (sh(1), ulimit -f): the most a node's /tmp must hold of one file, such as /proc/kcore."""


async def _run(
    ssh: SshPool, address: GuestAddress, script: str, token: str, timeout_s: float, *, stdin: int = -1, stdout: int = -1
) -> _Ended:
    """Run one of our scripts with its streams connected to descriptors; standard output begins after its mark."""
    import asyncssh  # noqa: PLC0415  (0.1 s, needed only for copying)

    stderr = MarkedStream(_STDERR_LIMIT_BYTES, group_mark(token), drop_before=True)
    try:
        async with asyncio.timeout(timeout_s), ssh.channel(address, timeout_s) as connection:
            process = await connection.create_process(
                render_own(script, token),
                stdin=os.dup(stdin) if stdin >= 0 else asyncssh.DEVNULL,
                stdout=os.dup(stdout) if stdout >= 0 else asyncssh.DEVNULL,
                encoding=None,
            )
            try:
                while block := await process.stderr.read(4096):
                    stderr.feed(block)
                await process.wait_closed()
            except BaseException:
                await _end(connection, process, stderr)
                raise
            stderr.flush()
            if not stderr.found and process.exit_status is not None:
                raise unstarted(address, process.exit_status, stderr.output.text())
            return _Ended(process.exit_status, stderr.output.text().strip())
    except TimeoutError:
        raise SshTimeout(f"the copy did not finish within {timeout_s:g} s", node=address.node) from None
    except (OSError, asyncssh.Error) as error:
        raise SshError(f"the connection to {address} was lost during the copy: {error}", node=address.node) from error


async def _end(
    connection: "asyncssh.SSHClientConnection", process: "asyncssh.SSHClientProcess[bytes]", stderr: MarkedStream
) -> None:
    """End what still runs of an abandoned copy: the guest's side may be blocked in a read that never returns.

    Then sshd does not close its end of the channel either, so nothing waits for that.
    """
    import asyncssh  # noqa: PLC0415

    if stderr.found is not None and process.exit_status is None:
        kill = render_own(render_kill(int(stderr.found[1])), secrets.token_hex(8))
        with suppress(TimeoutError, OSError, asyncssh.Error):
            await asyncio.wait_for(connection.run(kill, stdin=asyncssh.DEVNULL, encoding=None), _KILL_S)
    process.channel.abort()
    await process.wait_closed()  # immediate, since nothing else is waited for


def _failed(address: GuestAddress, what: str, ended: _Ended) -> ClusterError:
    if ended.stderr in _REFUSALS:
        return InvalidArgument(f"{what}: {ended.stderr}", node=address.node, hint=_REFUSALS[ended.stderr])
    hint = next((hint for words, hint in _HINTS.items() if words in ended.stderr), None)
    return OperationFailed(f"{what}: {ended.stderr or f'exit code {ended.exit_code}'}", node=address.node, hint=hint)


_LIKE_SCP = re.compile(r"[A-Za-z0-9@.-]{1,255}:")


def absolute_on_node(path: str) -> PurePosixPath:
    """Parse a path on a node. Raises `InvalidArgument` if it is not absolute or cannot be copied to or from."""
    pure = PurePosixPath(path)
    if not pure.is_absolute() or not pure.name or ".." in pure.parts or "\0" in path or "\n" in path:
        apart = "give the path alone: nodes are named apart"
        hint = apart if _LIKE_SCP.match(path) else "start with '/' and name what is below it, without '..'"
        raise InvalidArgument(f"{path!r} is not an absolute path of a file or directory on a node", hint=hint)
    return pure


def _pipe() -> tuple[int, int]:
    read_end, write_end = os.pipe()
    with suppress(OSError):  # more than the user may have: the pipe stays small
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
