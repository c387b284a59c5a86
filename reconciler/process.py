"""The only door to host commands: an argument vector, a time limit, and a line that replays the command.

Programs are found by `reconciler.programs`, and started in `/` with a clean environment. Cancelling the caller ends
the command and every child that it has started.
"""

import asyncio
import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from reconciler.concurrency import together
from reconciler.errors import HostCommandFailed
from reconciler.programs import clean_environment, require_program

log = structlog.get_logger(__name__)

_STDERR_TAIL_BYTES = 4096
_STDERR_KEPT_BYTES = 64 * 1024
_STDOUT_LIMIT_BYTES = 64 * 1024**2
_CHUNK_BYTES = 64 * 1024
_RESET_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished command returned; the streams are raw bytes, of standard error only the end."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    duration_s: float


class RunCommand(Protocol):
    """Runs a command as `run` does, on this host or on another one in its place."""

    async def __call__(
        self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: bytes | None = None, check: bool = True
    ) -> Completed: ...


async def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 60.0,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    on_stdout: Callable[[bytes], None] | None = None,
    stdout_limit_bytes: int = _STDOUT_LIMIT_BYTES,
) -> Completed:
    """Run `argv` (never through a shell) and return what it printed.

    `env` is added to a clean environment; paths in `argv` are absolute. `on_stdout` also receives the output as it
    arrives. With `check`, a non-zero exit raises `HostCommandFailed`; a time-out always does, and so does more output
    than the limit: it may be a guest's. A program that is not installed raises `HostCapabilityMissing`.
    """
    started = time.monotonic()
    process = await _spawn(argv, stdin, env)
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await _communicate(process, stdin, on_stdout, stdout_limit_bytes)
    except TimeoutError:
        raise HostCommandFailed(f"timed out after {timeout_s:g} s: {replay_line(argv)}") from None
    except _TooMuch:
        said = f"printed more than {stdout_limit_bytes} bytes"
        raise HostCommandFailed(f"{said}: {replay_line(argv)}") from None
    finally:
        if process.returncode is None:
            await _end(process)
    assert process.returncode is not None
    duration_s = time.monotonic() - started
    log.debug("host_command", argv=replay_line(argv), exit_code=process.returncode, duration_s=round(duration_s, 4))
    done = Completed(tuple(argv), process.returncode, stdout, stderr, duration_s)
    if check and done.exit_code != 0:
        raise HostCommandFailed(f"exit code {done.exit_code} from: {replay_line(argv)}\n{_tail(stderr)}")
    return done


def replay_line(argv: Sequence[str]) -> str:
    """The command as a person would type it into a shell."""
    return shlex.join(argv)


async def _spawn(argv: Sequence[str], stdin: bytes | None, env: Mapping[str, str] | None) -> asyncio.subprocess.Process:
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            require_program(argv[0]),
            *argv[1:],
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(env),
            cwd="/",
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # asyncio itself would wait forever for a half-started program
        await asyncio.wait([starting])
        if not starting.cancelled() and starting.exception() is None:
            await _end(starting.result())
        raise
    except OSError as error:  # not a program for this machine, or a missing interpreter
        raise HostCommandFailed(f"cannot start {replay_line(argv)}: {error.strerror}") from error


class _TooMuch(Exception):
    """A command printed more than its caller allows, and was ended."""


async def _communicate(
    process: asyncio.subprocess.Process,
    stdin: bytes | None,
    on_stdout: Callable[[bytes], None] | None,
    stdout_limit_bytes: int,
) -> tuple[bytes, bytes]:
    """Like the method of that name, with a callback for the output and a limit, and without copying `stdin`."""

    async def listen(stream: asyncio.StreamReader) -> bytes:
        content = bytearray()
        while chunk := await stream.read(_CHUNK_BYTES):
            if on_stdout is not None:
                on_stdout(chunk)
            content += chunk
            if len(content) > stdout_limit_bytes:
                _kill(process)
                await _exhaust(stream)
                raise _TooMuch
        return bytes(content)

    async def listen_to_errors(stream: asyncio.StreamReader) -> bytes:
        kept = b""
        while chunk := await stream.read(_CHUNK_BYTES):
            kept = (kept + chunk)[-_STDERR_KEPT_BYTES:]
        return kept

    async def feed() -> None:
        if process.stdin is not None:
            said = memoryview(stdin or b"")
            with suppress(BrokenPipeError, ConnectionResetError):
                for start in range(0, len(said), _CHUNK_BYTES):
                    process.stdin.write(said[start : start + _CHUNK_BYTES])
                    await process.stdin.drain()
            process.stdin.close()

    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr, _ = await together(listen(process.stdout), listen_to_errors(process.stderr), feed())
    await process.wait()
    return stdout, stderr


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill a process that nobody reads from, and wait until it has ended.

    asyncio waits for the end of the pipes as well, which it does not see behind output that nobody reads.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    _kill(process)
    await together(process.wait(), _exhaust(process.stdout), _exhaust(process.stderr))


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _exhaust(stream: asyncio.StreamReader) -> None:
    while await stream.read(_CHUNK_BYTES):
        pass


def _tail(stderr: bytes) -> str:
    return stderr[-_STDERR_TAIL_BYTES:].decode(errors="replace").strip()


def leave_behind(argv: Sequence[str], *, env: Mapping[str, str], stdin: int | None = None) -> None:
    """Start a program that continues when this process has ended, in its own session, detached from the terminal.

    It starts in `/`: what it loads by a relative name is not the caller's. `argv[0]` is an absolute path. The program
    must fork and let its first process end, which is waited for: then nothing here has to reap it. `stdin` is a
    descriptor to read from, by default nothing. Raises `HostCommandFailed`.
    """
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
    source = nothing if stdin is None else (os.POSIX_SPAWN_DUP2, stdin, 0)
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (1, 2)]
    in_root = [require_program("env"), "--chdir=/", *argv]
    try:
        process = os.posix_spawn(
            in_root[0],
            in_root,
            clean_environment(env),
            file_actions=[source, *silent],
            setsid=True,
            setsigmask=[],
            setsigdef=_RESET_SIGNALS,
        )
    except OSError as error:
        raise HostCommandFailed(f"cannot start {replay_line(argv)}: {error.strerror}") from error
    _, status = os.waitpid(process, 0)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        raise HostCommandFailed(f"exit code {code} from: {replay_line(argv)}")
