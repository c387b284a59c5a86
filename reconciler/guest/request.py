"""Requests to a guest and how they may fail, in types that need no SSH library."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.errors import SshError
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import OnOutput, quoted_prefix, render_own, render_script

_SAID_CHARACTERS = 500


class Unreachable(Exception):
    """No login now, for a reason that may pass."""


class NotStarted(Exception):
    """The channel could not be opened, so the command certainly did not run."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A validated command; `script` is what the login shell is given.

    `on_stdout` and `on_stderr` receive a stream as it arrives, instead of the result. With `own` the command is for
    `/bin/sh`, as this program's own scripts are: no start-up file changes its meaning or its output.
    """

    command: str
    env: Mapping[str, str]
    stdin: bytes | None
    output_limit_bytes: int
    on_stdout: OnOutput | None = None
    on_stderr: OnOutput | None = None
    own: bool = False
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    script: str = field(init=False)
    quoted: bytes = field(init=False)

    def __post_init__(self) -> None:
        script = render_script(self.command, self.env, self.token)
        object.__setattr__(self, "script", render_own(self.command, self.token, self.env) if self.own else script)
        object.__setattr__(self, "quoted", b"" if self.own else quoted_prefix(self.env, self.token))


def unstarted(address: GuestAddress, exit_code: int | None, said: str) -> SshError:
    """The error for one of this program's scripts that the login shell never reached."""
    words = f"; it printed: {said.strip()[-_SAID_CHARACTERS:]}" if said.strip() else ""
    return SshError(
        f"the login shell of {address.user} ended with {exit_code} before it ran anything{words}",
        node=address.node,
        hint="a start-up file such as ~/.bashrc, ~/.zshenv, ~/.cshrc or config.fish ends it: make it do nothing if"
        " the shell is not interactive",
    )
