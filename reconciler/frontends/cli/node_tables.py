"""Prints what runs in nodes, what is copied to and from them, and their consoles."""

from collections.abc import Sequence

import typer

from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import one_line
from reconciler.model.job import Job, JobOutput
from reconciler.model.kernel_log import ConsoleResult
from reconciler.model.transfer import TransferResult


def show_jobs(jobs: Sequence[Job]) -> None:
    """Jobs, one line each."""
    print_columns(
        ["JOB", "STATE", "EXIT", "STARTED", "BYTES", "COMMAND"],
        map(_job_row, jobs),
        empty="no jobs; start one with `vmcluster job start CLUSTER NODE -- COMMAND`",
    )


def show_job(job: Job) -> None:
    """One job as a table of one row."""
    show_jobs([job])


def show_job_output(found: JobOutput) -> None:
    """The output of a job as it is."""
    typer.echo(found.output, nl=False)


def show_console(result: ConsoleResult) -> None:
    """The lines of a console, and what is to be said of them."""
    for line in result.lines:
        typer.echo(one_line(line))
    if result.message:
        narrate(result.message)


def show_transfer(result: TransferResult) -> None:
    """What was copied for each node, and what was skipped."""
    print_columns(
        ["NODE", "FILES", "DIRECTORIES", "LINKS", "BYTES", "SECONDS"],
        (
            [name, str(of.files), str(of.directories), str(of.symlinks), str(of.size_bytes), f"{of.duration_s:.2f}"]
            for name, of in result.per_node.items()
        ),
    )
    for name, of in result.per_node.items():
        for skipped in of.left_out:
            narrate(f"{name}: skipped: {skipped}")


def _job_row(job: Job) -> list[str]:
    code = "-" if job.exit_code is None else str(job.exit_code)
    command = " ".join(job.command.split())
    return [job.job_id, job.state.value, code, utc_time(job.began_at), str(job.output_bytes), command]
