"""Background jobs on nodes."""

from enum import StrEnum

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.timestamps import Moment


class JobState(StrEnum):
    """The state of a job; `lost` means that the node was reset, or its processes were killed from within."""

    RUNNING = "running"
    ENDED = "ended"
    STOPPED = "stopped"
    LOST = "lost"


class Job(Abridgeable):
    """A command that was started in a node."""

    job_id: str = Field(description="Its ID, unique in the cluster.")
    node: str = Field(description="The node.")
    command: str = Field(description="The command; a long one is cut.")
    state: JobState = Field(description="`ended` by itself, `stopped` on request, `lost` with a reset of its node.")
    exit_code: int | None = Field(
        default=None, ge=0, le=255, description="Its exit code; null while it runs, or if it has none."
    )
    began_at: Moment = Field(description="When it was started, by the node's clock.")
    ended_at: Moment | None = Field(default=None, description="When it and all that it started had ended; null before.")
    output_bytes: int = Field(ge=0, description="How much output is kept.")
    lost_bytes: int = Field(default=0, ge=0, description="How much is not kept, after its first 16 MiB.")


class JobOutput(Abridgeable):
    """What a job has printed: both streams, as they came."""

    job: Job = Field(description="The job.")
    output: str = Field(description="The output from `offset` on.")
    output_omitted_bytes: int = Field(default=0, description="Bytes omitted between its beginning and end.")
    next_offset: int = Field(description="The `offset` with which to ask for what it prints next.")
