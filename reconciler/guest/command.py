"""A shell command as it is sent to a guest, and its output as it comes back; pure.

A command runs in the remote user's login shell, which sshd makes the leader of a session and a process group
of its own (openssh-9.2 session.c, do_exec_no_pty). The text that is put before it tells us the number of that
group on the first line of standard error, and exports variables; it consists of shell builtins only, because
every process counts under emulation, and it ends on the line on which the command begins, so that line
numbers in messages stay right.
"""

import codecs
import re
import shlex
from collections.abc import Callable, Mapping

from reconciler.errors import InvalidArgument

COMMAND_LIMIT_BYTES = 128 * 1024 - 1  # MAX_ARG_STRLEN with its end mark, linux/binfmts.h

OnOutput = Callable[[bytes], None]
"""Takes a stream as it comes. What it does before it returns keeps the stream, and the event loop, waiting."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ_ONLY_NAMES = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})  # bash(1)
_PID_SEARCH_BYTES = 64 * 1024
_GROUP = re.compile(rb"vmcluster-group:(?P<token>[0-9a-f]+):(?P<group>[0-9]+)\n")


def render_script(command: str, env: Mapping[str, str], token: str) -> str:
    """What the login shell gets; raises `InvalidArgument` for what no shell can be given."""
    exports = "".join(f" {_env_name(name)}={shlex.quote(value)}" for name, value in env.items())
    prefix = f'echo "vmcluster-group:{token}:$$" >&2; ' + (f"export{exports}; " if exports else "")
    script = prefix + command
    try:
        encoded = script.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the command or its environment is not valid text: {error}") from None
    if b"\0" in encoded:
        raise InvalidArgument("the command or its environment contains a NUL byte, which no shell can be given")
    if len(encoded) > COMMAND_LIMIT_BYTES:
        raise InvalidArgument(
            f"the command and its environment take {len(encoded)} bytes; Linux allows {COMMAND_LIMIT_BYTES}",
            hint="send a long script on standard input: command `sh`, the script as `stdin`",
        )
    return script


def _env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not a name of an environment variable", hint="letters, digits and `_`, no digit first"
        )
    if name in _READ_ONLY_NAMES:
        raise InvalidArgument(f"the shell does not let {name} be set")
    return name


class OutputBuffer:
    """One output stream: keeps the first `limit_bytes`, counts the rest as truncated."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept = bytearray()
        self.truncated = False

    def feed(self, data: bytes) -> None:
        room = self._limit_bytes - len(self._kept)
        self._kept += data[:room] if room > 0 else b""
        self.truncated = self.truncated or len(data) > room

    def text(self) -> str:
        """The kept bytes as text, U+FFFD for what is not UTF-8; a character cut by the limit is left out."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(bytes(self._kept), final=not self.truncated)

    @property
    def replaced(self) -> bool:
        """Whether `text` shows U+FFFD for bytes that are not UTF-8."""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(bytes(self._kept), final=not self.truncated)
        except UnicodeDecodeError:
            return True
        return False


class ErrorBuffer:
    """Standard error: an output stream that the line with the process group is taken out of.

    `on_output` gets the rest as it comes, in place of the buffer.
    """

    def __init__(self, limit_bytes: int, token: str, on_output: OnOutput | None = None) -> None:
        self.output = OutputBuffer(limit_bytes)
        self._pass_on = on_output or self.output.feed
        self._token = token.encode()
        self._head: bytearray | None = bytearray()
        self.group: int | None = None

    def feed(self, data: bytes) -> None:
        if self._head is None:
            self._pass_on(data)
            return
        self._head += data
        if found := next((line for line in _GROUP.finditer(self._head) if line["token"] == self._token), None):
            self.group = int(found["group"])
            del self._head[slice(*found.span())]
        if found or len(self._head) > _PID_SEARCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Stop looking for the line: what was held back is output."""
        if self._head is not None:
            held, self._head = bytes(self._head), None
            if held:
                self._pass_on(held)
