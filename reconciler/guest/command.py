"""Renders a shell command as it is sent to a guest, and collects its output; pure.

A user's command runs in the remote login shell, which sshd makes the leader of its own session and process group
(openssh-9.2 session.c, do_exec_no_pty). The text in front of it prints the number of that group as the first line of
standard error and exports variables. It uses only shell built-ins, because every process is expensive under emulation,
and it ends on the line on which the command begins, so that line numbers in messages stay right. It begins with
something that shells of another grammar refuse before they run anything: such a shell prints no group, and then
`/bin/sh` gets the command.

A script of this program must mean the same on every node, whatever the login shell is and whatever its start-up files
print: `render_own` passes it to `/bin/sh` in words that every shell reads the same way.
"""

import codecs
import re
import shlex
from collections.abc import Callable, Mapping

from reconciler.errors import InvalidArgument
from reconciler.model.abridging import omission_note

COMMAND_LIMIT_BYTES = 128 * 1024 - 1  # MAX_ARG_STRLEN with its end mark, linux/binfmts.h

OnOutput = Callable[[bytes], None]
"""Receives a stream as it arrives. Until it returns, the stream and the event loop wait."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ_ONLY_NAMES = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})  # bash(1)
_CUT_CHARACTER = re.compile(rb"^[\x80-\xbf]{1,3}")
"""The bytes of an incomplete UTF-8 character that may be left at a cut."""
_SEARCHED_BYTES = 64 * 1024
_GROUP = "vmcluster-group:"
_POSIX_ONLY = ': "${0-}"; '
"""Makes csh and tcsh (no such brace), fish (no such variable), nu and elvish (no command `:`) stop before the rest."""

OTHER_SHELLS = frozenset({"bsd-csh", "csh", "elvish", "fish", "nu", "tcsh"})
"""Those shells, by program name: tcsh 6.24 and fish 3.6 were tried, the others' documentation was read."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-./:,=+@")


def render_script(command: str, env: Mapping[str, str], token: str) -> str:
    """What the login shell is given; raises `InvalidArgument` for a command that no shell can be given."""
    return _sendable(_prefix(env, token) + command)


def _sendable(script: str) -> str:
    encoded_command(script, "send a long script on standard input: command `sh`, the script as `stdin`")
    return script


def encoded_command(script: str, remedy: str) -> bytes:
    """A script as bytes. Raises `InvalidArgument` for what no shell can be given, with `remedy` if it is too long."""
    try:
        encoded = script.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the command or its environment is not valid text: {error}") from None
    if b"\0" in encoded:
        raise InvalidArgument("the command or its environment contains a NUL byte, which cannot be passed to a shell")
    if len(encoded) > COMMAND_LIMIT_BYTES:
        raise InvalidArgument(
            f"the command and its environment have {len(encoded)} bytes; Linux allows {COMMAND_LIMIT_BYTES}",
            hint=remedy,
        )
    return encoded


def quoted_prefix(env: Mapping[str, str], token: str) -> bytes:
    """What bash(1), unable to parse the command's first line, quotes before it, after a backquote of its own."""
    last_line = _prefix(env, token).rpartition("\n")[2]
    return f"`{last_line}".encode()


def _prefix(env: Mapping[str, str], token: str) -> str:
    return f'{_POSIX_ONLY}echo "{_GROUP}{token}:$$" >&2; {render_exports(env)}'


def render_exports(env: Mapping[str, str]) -> str:
    """What sets variables before a command, on the line on which it begins. Raises `InvalidArgument` for a name."""
    exports = "".join(f" {_env_name(name)}={shlex.quote(value)}" for name, value in env.items())
    return f"export{exports}; " if exports else ""


def render_own(script: str, token: str, env: Mapping[str, str] = {}) -> str:
    """What any login shell is given so that `/bin/sh` runs a script and prints its group; raises as `render_script`."""
    return _sendable(render_begin(_prefix(env, token) + script, token))


def render_begin(script: str, token: str) -> str:
    """What any login shell is given so that `/bin/sh` runs a script with `"$@"` taken from what follows.

    It first prints `begin_line` on standard output, after everything that start-up files print there. No character of
    the text is special between single quotes to bash, zsh, csh or fish: those characters are octal, for `printf %b`.
    Functions exported by bash are not part of it.
    """
    encoded = script.encode("utf-8", "surrogateescape")
    text = "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in encoded)
    begin = f"{_FORGET}echo {begin_line(token)}"  # before anything of the script is parsed
    return f'exec /bin/sh -c \'{begin}; eval "$(printf %b "{text}")"\' vmcluster'


_FORGET = "unset -f cat cd cp date dd echo head kill mkdir mv printf read rm rsync sudo sync tar test; "


SIGNAL_GROUP = """send() { kill "$@" || [ ! -d /proc/$2 ] || sudo -n kill "$@" || refused="$refused $2"; } 2>/dev/null
signal_group() { g=$1; s=$2; mine=" $g "; more=1; refused=; kill -STOP -$g || return
while [ $more ]; do more=
for d in /proc/[0-9]*; do p=${d#/proc/}
case $mine in *" $p "*) continue;; esac
{ l=; while read -r n; do l="$l $n"; done <$d/stat; } 2>/dev/null || continue
set -- ${l##*) }
case $mine in *" ${2-} "*) ;; *) [ "${4-}" = $g ] || continue;; esac
send -STOP $p
mine="$mine$p "; more=1
[ ${#mine} -lt 4096 ] || break 2
done; done
kill -$s -$g
refused=
for p in $mine; do send -$s $p; send -CONT $p; done
kill -CONT -$g 2>/dev/null
:; }
"""
"""A function of `/bin/sh` that signals a group and what has left the group: its session and all descendants.

Those that run as another user, as under sudo(8), are signalled through sudo; `refused` are those that this user may not
signal even so.

All of them are stopped before any is signalled, so that none can start another one unseen or be orphaned first. If
there are very many, as with a fork bomb, only the group is signalled. It fails if the group no longer exists, because
its number may have been reused by then. The name in `stat` (proc(5)) may have spaces, brackets and line ends.
"""


def render_kill(group: int) -> str:
    """What `/bin/sh` is given to kill a command's group, and all that `SIGNAL_GROUP` finds."""
    return f"{SIGNAL_GROUP}signal_group {group} KILL"


def begin_line(token: str) -> str:
    """The line on standard output after which the output of one of this program's scripts begins."""
    return f"vmcluster-begin:{token}"


def begin_mark(token: str) -> re.Pattern[bytes]:
    """The pattern that finds `begin_line`."""
    return re.compile(f"{begin_line(token)}\n".encode())


def _env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} is not a valid environment variable name", hint="use letters, digits and `_`, and no digit first"
        )
    if name in _READ_ONLY_NAMES:
        raise InvalidArgument(f"the shell does not allow {name} to be set")
    return name


class OutputBuffer:
    """Keeps the first and the last part of an output stream, each up to half of `limit_bytes`.

    `omitted_bytes` is what was left out between the two.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._head_bytes = limit_bytes - limit_bytes // 2
        self._tail_bytes = limit_bytes // 2
        self._head, self._tail = bytearray(), bytearray()
        self.omitted_bytes = 0

    def feed(self, data: bytes) -> None:
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_bytes:  # only now and then, because each cut moves the rest
            self._cut()

    def _cut(self) -> None:
        surplus = max(0, len(self._tail) - self._tail_bytes)
        del self._tail[:surplus]
        self.omitted_bytes += surplus

    @property
    def truncated(self) -> bool:
        self._cut()
        return self.omitted_bytes > 0

    def text(self) -> str:
        """The kept bytes as text, with U+FFFD for what is not UTF-8; a character cut in half is left out.

        If something was left out, a line says how much.
        """
        return self._decoded("replace")

    @property
    def replaced(self) -> bool:
        """Whether `text` shows U+FFFD because some bytes are not UTF-8."""
        try:
            self._decoded("strict")
        except UnicodeDecodeError:
            return True
        return False

    def _decoded(self, errors: str) -> str:
        if not self.truncated:
            return bytes(self._head + self._tail).decode("utf-8", errors)
        head = codecs.getincrementaldecoder("utf-8")(errors).decode(bytes(self._head))
        tail = _CUT_CHARACTER.sub(b"", bytes(self._tail))
        return f"{head}{omission_note(self.omitted_bytes)}{tail.decode('utf-8', errors)}"


class MarkedStream:
    """An output stream from which a mark, if any, is removed; `on_output` gets the rest instead of the buffer.

    Text before the mark is output as well or, with `drop_before`, something a start-up file printed, which is dropped.
    If no mark came, the shell could not parse the text that prints it, and `quoted` is cut to its first character.
    """

    def __init__(
        self,
        limit_bytes: int,
        mark: re.Pattern[bytes] | None,
        on_output: OnOutput | None = None,
        *,
        drop_before: bool = False,
        quoted: bytes = b"",
    ) -> None:
        self.output = OutputBuffer(limit_bytes)
        self._pass_on = on_output or self.output.feed
        self._mark = mark
        self._drop_before = drop_before
        self._quoted = quoted
        self._head = None if mark is None else bytearray()
        self.found: re.Match[bytes] | None = None

    def feed(self, data: bytes) -> None:
        if self._head is None or self._mark is None:
            self._pass_on(data)
            return
        self._head += data
        if found := self._mark.search(bytes(self._head)):
            self.found = found
            del self._head[slice(0 if self._drop_before else found.start(), found.end())]
            self.flush()
        elif len(self._head) > _SEARCHED_BYTES:
            if self._drop_before:
                del self._head[: -_SEARCHED_BYTES // 2]
            else:
                self.flush()

    def flush(self) -> None:
        """Stop looking for the mark: text held back so far is output."""
        if self._head is not None:
            held, self._head = bytes(self._head), None
            if self._quoted and self.found is None:
                held = held.replace(self._quoted, self._quoted[:1], 1)
            if held:
                self._pass_on(held)


def group_mark(token: str) -> re.Pattern[bytes]:
    """The pattern of the line on standard error that has the number of the command's process group, as group 1."""
    return re.compile(f"{_GROUP}{token}:([0-9]{{1,10}})\n".encode())
