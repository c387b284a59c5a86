"""Commands for snapshots of whole clusters."""

# ruff: noqa: PLC0415  imports wait until a command runs

import time
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_snapshot
from reconciler.frontends.cli.confirmation import can_be_asked, require_a_yes
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, SshTimeout, Wait, valid_text
from reconciler.frontends.cli.other_words import CommandGroup
from reconciler.frontends.cli.output import exit_with, narrate, prints
from reconciler.frontends.cli.session import FAILURE, RUN_AGAIN, STAYS_WANTED, CommandEnding, present, run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.results import ClusterStatus, SnapshotDeleteResult, SnapshotInfo
    from reconciler.usecases.snapshot_tree import SnapshotTree
    from reconciler.usecases.snapshot_upkeep import Unneeded, Verification

app = Commands()
snapshot = Commands(
    cls=CommandGroup, help="Take snapshots of a whole cluster, and revert to them.", no_args_is_help=True
)
app.add_typer(snapshot, name="snapshot")

_WITHDRAWN = "an unfinished snapshot is discarded: see `vmcluster snapshot list`"

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a snapshot, or its name in the topology.",
        autocompletion=complete_snapshot,
        callback=valid_text,
    ),
]


@snapshot.command(examples=("snapshot create lab clean --memory",))
@prints
def create(
    cluster: Cluster,
    name: Name,
    memory: Annotated[
        bool, typer.Option("--memory", help="Include the nodes' memory, so that a revert needs no boot.")
    ] = False,
    quiesce: Annotated[
        bool,
        typer.Option("--quiesce", help="Freeze the guests' file systems during the snapshot; needs the guest agent."),
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> "SnapshotInfo":
    """Take a consistent snapshot of all disks of all nodes. Running nodes are paused briefly, then resumed."""
    from reconciler.frontends.cli.snapshot_tables import show_created

    return present(
        lambda use: use.snapshots.create(cluster, name, include_memory=memory, quiesce=quiesce),
        CommandEnding(output=output, when_interrupted=_WITHDRAWN),
        show_created,
    )


@snapshot.command("list", examples=("snapshot list lab",))
@prints
def list_snapshots(cluster: Cluster, output: Output = OutputFormat.TABLE) -> "list[SnapshotInfo]":
    """List the snapshots of a cluster, oldest first."""
    return present(lambda use: use.snapshots.listing(cluster), CommandEnding(output=output))


@snapshot.command(examples=("snapshot show lab clean",))
@prints
def show(cluster: Cluster, name: Name, output: Output = OutputFormat.TABLE) -> "SnapshotInfo":
    """Show the files of a snapshot and their size."""
    return present(lambda use: use.snapshots.info(cluster, name), CommandEnding(output=output))


@snapshot.command(examples=("snapshot revert lab clean",))
@prints
def revert(
    cluster: Cluster,
    name: Name,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart/--no-restart", help="Start the nodes that ran in the snapshot, or leave all of them off."
        ),
    ] = True,
    wait: Wait = True,
    heal: Annotated[bool, typer.Option("--heal", help="Also end all network faults.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation on a terminal.")] = False,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Revert all nodes to a snapshot.

    Prints what will be lost: everything written since then that no other snapshot holds. Asks first on a terminal;
    without one it reverts right away.
    """
    from reconciler.frontends.cli.snapshot_tables import loss_lines

    for line in loss_lines(
        run_command(lambda use: use.snapshots.revert_losses(cluster, name), CommandEnding(output=output))
    ):
        narrate(line)
    if can_be_asked() and not yes:
        require_a_yes(f"Revert all nodes of {cluster!r} to {name!r}?")
    began = time.monotonic()
    status = present(
        lambda use: use.snapshots.revert(
            cluster, name, restart_after=restart, wait=wait, ssh_timeout_s=timeout, heal=heal
        ),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED),
        partial=True,
    )
    narrate(f"reverted to {name} in {time.monotonic() - began:.1f} s")
    if status.faults_in_force:
        narrate(f"network faults are still in force: vmcluster fault heal {cluster} --all")
    return status


@snapshot.command(examples=("snapshot delete lab clean",))
@prints
def delete(cluster: Cluster, name: Name, output: Output = OutputFormat.TABLE) -> "SnapshotDeleteResult":
    """Delete a snapshot. Nodes and other snapshots are not affected."""
    return present(
        lambda use: use.snapshots.delete(cluster, name),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
    )


@snapshot.command(examples=("snapshot tree lab",))
@prints
def tree(cluster: Cluster, output: Output = OutputFormat.TABLE) -> "SnapshotTree":
    """Show which snapshot is based on which, and where each node is now."""
    return present(lambda use: use.upkeep.tree(cluster), CommandEnding(output=output))


@snapshot.command(examples=("snapshot verify lab clean",))
@prints
def verify(
    cluster: Cluster,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Name of a snapshot. Default: all of them.",
            autocompletion=complete_snapshot,
            callback=valid_text,
        ),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "Verification":
    """Check that the files of a snapshot are there and undamaged.

    Their backing files are checked too. Exits 1 if anything is wrong.
    """
    verification = present(lambda use: use.upkeep.verify(cluster, name), CommandEnding(output=output))
    return exit_with(verification, 0 if verification.sound else FAILURE)


@snapshot.command(examples=("snapshot gc lab --dry-run",))
@prints
def gc(
    cluster: Cluster,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what can be removed.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "Unneeded":
    """Remove layers that no node or snapshot needs. Every other change of the cluster does so too."""

    async def work(use: UseCases) -> "Unneeded":
        if dry_run:
            return await use.upkeep.unneeded(cluster)
        return await use.upkeep.collect(cluster)

    return present(work, CommandEnding(output=output, when_interrupted=RUN_AGAIN))
