"""The command that forks a cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.cluster_commands import present_plan
from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_cluster
from reconciler.frontends.cli.options import Output, OutputFormat, SshTimeout, Wait, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import RUN_AGAIN, CommandEnding, present

if TYPE_CHECKING:
    from reconciler.model.results import ClusterStatus
    from reconciler.records.plan_view import PlanView

app = Commands()


@app.command(examples=("fork lab@loaded try --count 3", "fork lab@loaded try --dry-run", "fork lab try"))
@prints
def fork(
    origin: Annotated[
        str,
        typer.Argument(
            metavar="CLUSTER[@SNAPSHOT]",
            help="The cluster, and which of its snapshots. Default: one taken now.",
            autocompletion=complete_cluster,
            callback=valid_text,
        ),
    ],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="Name of the fork; with --count, NEW-1, NEW-2, …", callback=valid_text)
    ],
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="How many to make, as memory allows.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the plan of one fork, with the exit codes of `plan`.")
    ] = False,
    wait: Wait = True,
    timeout: SshTimeout = 120.0,
    output: Output = OutputFormat.TABLE,
) -> "list[ClusterStatus] | PlanView":
    """Make clusters that continue from a snapshot of another one.

    Nodes have the same names, addresses and processes in each, and no fork hears another or the cluster itself.
    """
    cluster, _, snapshot = origin.partition("@")
    if dry_run and not snapshot:
        raise typer.BadParameter("needs CLUSTER@SNAPSHOT", param_hint="--dry-run")
    if dry_run:
        return present_plan(lambda use: use.forks.plan(cluster, new, snapshot), CommandEnding(output=output))
    made = present(
        lambda use: use.forks.make(
            cluster, new, snapshot=snapshot or None, count=count, wait=wait, ssh_timeout_s=timeout
        ),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
    )
    if output is OutputFormat.TABLE:
        narrate(f"next: vmcluster exec {made[0].cluster_name} {made[0].nodes[0].name} -- uname -n")
    return made
