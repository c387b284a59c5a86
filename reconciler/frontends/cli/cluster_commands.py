"""Commands that change the desired state of clusters."""

# ruff: noqa: PLC0415  imports wait until a command runs

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.errors import ApprovalRequired
from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_topology
from reconciler.frontends.cli.confirmation import can_be_asked, require_a_yes
from reconciler.frontends.cli.options import Cluster, Node, Nodes, Output, OutputFormat, SshTimeout, Topology, Wait
from reconciler.frontends.cli.output import exit_with, narrate, prints, unheard
from reconciler.frontends.cli.session import (
    FAILURE,
    STAYS_WANTED,
    CommandEnding,
    Work,
    given_topology,
    present,
    run_command,
)
from reconciler.model.choices import StopMode
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.results import ClusterStatus, NodeStatus
    from reconciler.records.approval import Approval
    from reconciler.records.plan_view import PlanView
    from reconciler.records.preview import Preview
    from reconciler.records.proposal import Shown

CHANGES = 2

app = Commands()


Mode = Annotated[
    StopMode, typer.Option("--mode", help="shutdown sends an ACPI request and waits; destroy cuts the power.")
]
Start = Annotated[bool, typer.Option("--start/--no-start", help="Boot all nodes, or leave their power state as it is.")]

AllowRestart = Annotated[
    bool, typer.Option("--allow-restart", help="Allow nodes to be restarted or turned off for the change.")
]
AllowDataLoss = Annotated[
    bool, typer.Option("--allow-data-loss", help="Allow nodes to be recreated and disks to be deleted.")
]
PlanHash = Annotated[
    str | None,
    typer.Option(
        "--plan-hash", metavar="HASH", help="Carry out the plan with this hash; do nothing if the plan has changed."
    ),
]


@app.command(examples=("apply ./lab.yaml", "apply lab --allow-restart"))
@prints
def apply(
    topology: Topology,
    start: Start = True,
    wait: Wait = True,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    plan_hash: PlanHash = None,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Converge the host to a topology file."""
    how_to_end = CommandEnding(output=output, when_interrupted=STAYS_WANTED, shows_plan=True)
    wanted = given_topology(topology, how_to_end)
    approval = _approval(restart=allow_restart, data_loss=allow_data_loss, plan_hash=plan_hash)
    shown = _shown(approval, output)

    status = present(
        lambda use: use.clusters.apply(
            wanted, start=start, wait_for_ssh=wait, approval=approval, shown=shown, timeout_s=timeout
        ),
        how_to_end,
        partial=True,
    )
    if output is OutputFormat.TABLE:
        _say_what_next(status)
    return status


@app.command(examples=("plan ./lab.yaml",))
@prints
def plan(topology: Topology, start: Start = True, output: Output = OutputFormat.TABLE) -> "PlanView":
    """Print what applying a topology file would do, and why.

    Exits 0 when there is nothing to do, 2 when there are changes, and 1 when there is an error or the plan is blocked.
    """
    how_to_end = CommandEnding(output=output)
    wanted = given_topology(topology, how_to_end)
    return present_plan(lambda use: use.clusters.plan(wanted, start=start), how_to_end)


@app.command(examples=("rollback lab --dry-run", "rollback lab --to 3"))
@prints
def rollback(
    cluster: Cluster,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            metavar="GENERATION",
            min=1,
            help="Generation from `history`. Default: the last one with a different desired state.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the plan, with the exit codes of `plan`.")
    ] = False,
    wait: Wait = True,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    plan_hash: PlanHash = None,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus | PlanView":
    """Roll a cluster back to an earlier generation.

    Its topology and the power state of its nodes become desired again. Snapshots, crashes and reverts are not
    undone; `snapshot revert` takes disks back.
    """
    if dry_run:
        return present_plan(lambda use: use.clusters.plan_rollback(cluster, to=to), CommandEnding(output=output))
    approval = _approval(restart=allow_restart, data_loss=allow_data_loss, plan_hash=plan_hash)
    shown = _shown(approval, output)

    return present(
        lambda use: use.clusters.rollback(
            cluster, to=to, wait_for_ssh=wait, approval=approval, shown=shown, timeout_s=timeout
        ),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED, shows_plan=True),
        partial=True,
    )


@app.command(examples=("adopt lab ./lab.yaml",))
@prints
def adopt(
    cluster: Cluster,
    topology: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPOLOGY]",
            help="Topology file of the cluster. Default: the file with its name in topology_dir.",
            autocompletion=complete_topology,
        ),
    ] = None,
    allow_restart: AllowRestart = False,
    allow_data_loss: AllowDataLoss = False,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Rebuild a lost record, or take a cluster over.

    A lost record is rebuilt from topology and host; machines that another state_dir made are taken from it.
    """
    how_to_end = CommandEnding(output=output)
    wanted = given_topology(topology, how_to_end) if topology is not None else None
    approval = _approval(restart=allow_restart, data_loss=allow_data_loss)

    return present(lambda use: use.clusters.adopt(cluster, wanted, approval=approval), how_to_end, partial=True)


@app.command(examples=("start lab", "start lab n0 n1"))
@prints
def start(
    cluster: Cluster,
    nodes: Nodes = None,
    wait: Wait = True,
    paused: Annotated[
        bool, typer.Option("--paused", help="Power the nodes on with their CPUs paused, to attach a debugger.")
    ] = False,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Start nodes of a cluster, and resume paused ones."""

    return present(
        lambda use: use.clusters.start(cluster, wait_for_ssh=wait, ssh_timeout_s=timeout, paused=paused, nodes=nodes),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED),
        partial=True,
    )


@app.command(examples=("restart lab n0 --mode destroy",))
@prints
def restart(
    cluster: Cluster,
    nodes: Nodes = None,
    mode: Mode = StopMode.SHUTDOWN,
    wait: Wait = True,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Stop nodes of a cluster and boot them again."""

    return present(
        lambda use: use.clusters.restart(cluster, nodes=nodes, mode=mode, wait_for_ssh=wait, ssh_timeout_s=timeout),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED),
        partial=True,
    )


@app.command(examples=("stop lab", "stop lab n0 --mode destroy"))
@prints
def stop(
    cluster: Cluster,
    nodes: Nodes = None,
    mode: Mode = StopMode.SHUTDOWN,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait for the nodes to power off.")
    ] = 60.0,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Stop nodes of a cluster and wait until they are off. They stay off until they are started."""

    return present(
        lambda use: use.clusters.stop(cluster, mode=mode, timeout_s=timeout, nodes=nodes),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED),
        partial=True,
    )


@app.command(examples=("destroy lab", "destroy lab --remove-overlays --yes"))
@prints
def destroy(
    cluster: Cluster,
    remove_overlays: Annotated[
        bool,
        typer.Option("--remove-overlays", help="Also delete disks, seeds, host keys and snapshots; asks first."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Find the cluster by its marks on the host when its record is lost or unreadable."
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="With --force: also remove what another state_dir has made."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before disks are deleted.")] = False,
    output: Output = OutputFormat.TABLE,
) -> "ClusterStatus":
    """Remove a cluster's machines and network. Its disks are kept, and a later apply uses them again."""
    how_to_end = CommandEnding(output=output, when_interrupted="the cluster is still to be destroyed: run it again")
    if take_over and not force:
        raise typer.BadParameter("needs --force", param_hint="--take-over")
    if remove_overlays and not yes:
        _require_consent(cluster, how_to_end)

    async def work(use: UseCases) -> "ClusterStatus":
        if force:
            return await use.clusters.destroy_by_marks(cluster, remove_overlays=remove_overlays, take_over=take_over)
        return await use.clusters.destroy(cluster, remove_overlays=remove_overlays)

    return present(work, how_to_end)


@app.command(examples=("crash lab n0",))
@prints
def crash(
    cluster: Cluster,
    node: Node,
    restart: Annotated[bool, typer.Option("--restart/--no-restart", help="Boot the node again afterwards.")] = True,
    wait: Wait = True,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "NodeStatus":
    """Cut a node's power and boot it again."""

    return present(
        lambda use: use.clusters.crash(cluster, node, restart_after=restart, wait_for_ssh=wait, ssh_timeout_s=timeout),
        CommandEnding(output=output, when_interrupted=STAYS_WANTED),
    )


def present_plan(think: "Work[Preview]", how_to_end: CommandEnding) -> "PlanView":
    """Print a plan, and exit with the code that says whether there are changes."""

    async def work(use: UseCases) -> "PlanView":
        from reconciler.records.plan_view import plan_view

        return plan_view(await think(use))

    view = present(work, how_to_end)
    return exit_with(view, FAILURE if view.blocked else 0 if view.converged else CHANGES)


def _require_consent(cluster: str, how_to_end: CommandEnding) -> None:
    """Ask on a terminal; a script needs --yes."""

    async def refuse(_: UseCases) -> None:
        raise ApprovalRequired(f"the disks of {cluster!r} would be deleted permanently", hint="pass `yes` to confirm")

    if not can_be_asked():
        run_command(refuse, how_to_end)
    require_a_yes(f"Delete the disks, seeds, host keys and snapshots of {cluster!r} permanently?")


def _say_what_next(status: "ClusterStatus") -> None:
    reachable = [node.name for node in status.nodes if node.ssh_reachable]
    narrate("")
    if not reachable:
        narrate(f"next: vmcluster start {status.cluster_name}")
        return
    narrate(f"next: vmcluster exec {status.cluster_name} {reachable[-1]} -- uname -r")
    narrate(f"      vmcluster ssh {status.cluster_name} {reachable[-1]}")


def _approval(*, restart: bool, data_loss: bool, plan_hash: str | None = None) -> "Approval":
    from reconciler.records.approval import Approval

    return Approval(restart=restart, data_loss=data_loss, plan_hash=plan_hash)


def _shown(approval: "Approval", output: OutputFormat) -> "Shown":
    """Prints the plan before it is carried out; where the output is data, nothing."""
    from reconciler.frontends.cli.plan_text import print_plan
    from reconciler.frontends.cli.spelled_results import spelled
    from reconciler.records.plan_view import plan_view
    from reconciler.records.proposal import unseen

    def show(preview: "Preview") -> None:
        with unheard():
            print_plan(spelled(plan_view(preview)), short=True, agreed=approval.arguments)

    return show if output is OutputFormat.TABLE else unseen
