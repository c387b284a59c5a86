"""Starts commands in a node that go on without a connection, and asks what became of them: see `jobs.sh`.

Everything about a job is in the node, so it is there for any later client, goes back with a revert, and ends with the
node's disk.
"""

import base64
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files

from reconciler.errors import InvalidArgument, SshError
from reconciler.guest.address import GuestAddress
from reconciler.guest.guest_answers import parsing_answer
from reconciler.guest.pool import SshPool
from reconciler.model.job import Job, JobState
from reconciler.model.results import ExecResult

FIRST_BYTES = 16 * 1024 * 1024
"""How much of what a job prints first is kept; of the rest, the last MiB, once it has ended."""

_NO_SUCH_JOB = 3
_ID = re.compile(r"[a-z0-9]{1,32}")
_MOST_JOBS_BYTES = 256 * 1024
_ABSENT = "-"


class NodeJobs:
    """The jobs of one node."""

    def __init__(self, ssh: SshPool, address: GuestAddress, *, timeout_s: float) -> None:
        self._ssh = ssh
        self._address = address
        self._timeout_s = timeout_s

    async def start(self, name: str, command: str, env: Mapping[str, str] | None = None) -> Job:
        """Start a command as the job `name`."""
        answer = await self._ask("start", name, str(FIRST_BYTES), stdin=command.encode(), env=env)
        return self._one(answer)

    async def listing(self) -> list[Job]:
        """All jobs, the oldest first."""
        found = [self._parsed(line) for line in (await self._ask("list")).stdout.splitlines()]
        return sorted(found, key=lambda job: (job.began_at, job.job_id))

    async def show(self, name: str) -> Job:
        """One job. Raises `InvalidArgument` if there is none of that name."""
        return self._one(await self._ask("list", name))

    async def output(self, name: str, offset: int, limit_bytes: int) -> ExecResult:
        """What a job has printed from `offset` on; both ends of more than `limit_bytes`."""
        return await self._ask("output", name, str(offset), limit_bytes=limit_bytes)

    async def stop(self, name: str, patience_s: int) -> Job:
        """End a job by SIGTERM, or by SIGKILL if it goes on for so long."""
        return self._one(await self._ask("stop", name, str(patience_s), timeout_s=self._timeout_s + patience_s))

    async def _ask(
        self,
        *words: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        limit_bytes: int = _MOST_JOBS_BYTES,
        timeout_s: float | None = None,
    ) -> ExecResult:
        script = f"set -- {shlex.join(words)}\n{_SCRIPT}"
        answer = await self._ssh.run(
            self._address,
            script,
            timeout_s=timeout_s or self._timeout_s,
            env=env,
            stdin=stdin,
            output_limit_bytes=limit_bytes,
            own=True,
        )
        if answer.exit_code == _NO_SUCH_JOB:
            raise InvalidArgument(f"node {self._address.node} has no job {words[1]!r}", hint="`job_status` lists them")
        if answer.exit_code != 0:
            raise SshError(f"no jobs can be kept: {answer.stderr.strip()[-500:]}", node=self._address.node)
        return answer

    def _one(self, answer: ExecResult) -> Job:
        return self._parsed(answer.stdout.strip())

    def _parsed(self, line: str) -> Job:
        """The job on a line, which the node may have made up."""
        with parsing_answer(self._address.node, "its jobs"):
            name, state, code, began, ended, count, command = line.split(" ")
            if not _ID.fullmatch(name):
                raise ValueError(f"{name} is not a job")
            return Job(
                job_id=f"{self._address.node}.{name}",
                node=self._address.node,
                command=base64.b64decode(command, validate=True).decode(errors="replace"),
                state=JobState(state),
                exit_code=None if code == _ABSENT else int(code),
                began_at=_moment(began),
                ended_at=None if ended == _ABSENT else _moment(ended),
                output_bytes=int(count),
            )


def _moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


_SCRIPT = (files("reconciler.guest") / "jobs.sh").read_text(encoding="utf-8")
