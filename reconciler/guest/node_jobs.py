"""Starts commands on a node that keep running without a connection, and reads their state: see `jobs.sh`.

All state of a job is on the node: any later client finds it, a revert reverts it, and it is deleted with the node's
disk.
"""

import base64
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files

from reconciler.errors import InvalidArgument, OperationFailed, SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import SIGNAL_GROUP, encoded_command, render_exports
from reconciler.guest.guest_answers import parsing_answer, printable_words
from reconciler.guest.pool import SshPool
from reconciler.model.job import Job, JobOutput, JobState
from reconciler.model.results import ExecResult

FIRST_BYTES = 16 * 1024 * 1024
"""How much of what a job prints first is kept; of the rest, the last MiB, once it has ended."""

JOB_NAME = re.compile(r"[a-z0-9]{1,32}")
"""The part of a job's ID after its node."""

_NO_SUCH_JOB = 3
_MOST_JOBS_BYTES = 256 * 1024
_LONGEST_LINE_BYTES = 2048
_PAST_END = 2**40  # shells compute with 64 bits
_ABSENT = "-"
_LOOK = "`job_status` shows whether the job is there"
_EPOCH = datetime.fromtimestamp(0, UTC)


class NodeJobs:
    """The jobs of one node."""

    def __init__(self, ssh: SshPool, address: GuestAddress, *, timeout_s: float) -> None:
        self._ssh = ssh
        self._address = address
        self._timeout_s = timeout_s

    async def start(self, name: str, command: str, env: Mapping[str, str] | None = None) -> Job:
        """Start a command as the job `name`."""
        sent = encoded_command(command, "copy a long script to the node, and start that")
        exports = render_exports(env or {})
        return self._one(await self._ask("start", name, str(FIRST_BYTES), str(len(sent)), exports, stdin=sent))

    async def listing(self) -> list[Job]:
        """All jobs, the oldest first."""
        found = [self._parsed(line) for line in (await self._ask("list")).stdout.splitlines()]
        return sorted(found, key=lambda job: (job.began_at, job.job_id))

    async def show(self, name: str) -> Job:
        """One job. Raises `InvalidArgument` if there is none of that name."""
        return self._one(await self._ask("list", name))

    async def output(self, name: str, offset: int, limit_bytes: int) -> JobOutput:
        """What a job has printed from `offset` on; both ends of more than `limit_bytes`."""
        answer = await self._ask(
            "output", name, str(min(offset, _PAST_END)), limit_bytes=limit_bytes + 2 * _LONGEST_LINE_BYTES
        )
        line, _, printed = answer.stdout.partition("\n")
        job = self._parsed(line)
        return JobOutput(
            job=job,
            output=printed,
            output_omitted_bytes=answer.stdout_omitted_bytes,
            next_offset=job.output_bytes,
        )

    async def stop(self, name: str, patience_s: int) -> Job:
        """Stop a job by SIGTERM, or by SIGKILL if it still runs after `patience_s`."""
        return self._one(await self._ask("stop", name, str(patience_s), timeout_s=self._timeout_s + patience_s))

    async def _ask(
        self,
        *words: str,
        stdin: bytes | None = None,
        limit_bytes: int = _MOST_JOBS_BYTES,
        timeout_s: float | None = None,
    ) -> ExecResult:
        script = f"{SIGNAL_GROUP}set -- {shlex.join(words)}\n{_SCRIPT}"
        answer = await self._ssh.run(
            self._address,
            script,
            timeout_s=timeout_s or self._timeout_s,
            stdin=stdin,
            output_limit_bytes=limit_bytes,
            own=True,
        )
        if answer.exit_code == _NO_SUCH_JOB:
            raise no_such_job(f"{self._address.node}.{words[1]}")
        if answer.timed_out:
            raise SshTimeout("the node has not answered about its jobs in time", node=self._address.node, hint=_LOOK)
        if answer.exit_code != 0:
            said = printable_words(" ".join(answer.stderr.split()))
            raise OperationFailed(f"the node's jobs: {said}", node=self._address.node)
        return answer

    def _one(self, answer: ExecResult) -> Job:
        return self._parsed(answer.stdout.strip())

    def _parsed(self, line: str) -> Job:
        """The job on a line, which the node may have made up."""
        with parsing_answer(self._address.node, "its jobs"):
            name, state, code, began, ended, count, lost, command = line.split(" ")
            if not JOB_NAME.fullmatch(name):
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
                lost_bytes=int(lost),
            )


def no_such_job(job_id: str) -> InvalidArgument:
    """The error for an ID that no job has."""
    return InvalidArgument(f"there is no job {job_id!r}", hint="`job_status` lists them; a revert also reverts them")


def _moment(seconds: str) -> datetime:
    return _EPOCH + timedelta(seconds=int(seconds))


_SCRIPT = (files("reconciler.guest") / "jobs.sh").read_text(encoding="utf-8")
