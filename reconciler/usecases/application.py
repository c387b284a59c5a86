"""The use cases as every front end calls them: one class for each family of verbs, built here and nowhere else."""

# ruff: noqa: PLC0415  a family is imported when it is first used: a command needs one or two of them

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.files.roots import Reach
    from reconciler.progress import Progress
    from reconciler.runtime import Runtime
    from reconciler.usecases.build_trees import Artifacts
    from reconciler.usecases.clusters import Clusters
    from reconciler.usecases.consoles import Consoles
    from reconciler.usecases.deployment import Deployment
    from reconciler.usecases.forks import Forks
    from reconciler.usecases.hosts import Hosts
    from reconciler.usecases.inspection import Inspection
    from reconciler.usecases.jobs import Jobs
    from reconciler.usecases.kernel_logs import KernelLogs
    from reconciler.usecases.network_faults import Faults
    from reconciler.usecases.nodes import Nodes
    from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep
    from reconciler.usecases.snapshots import Snapshots
    from reconciler.usecases.topologies import Topologies
    from reconciler.usecases.transfers import Transfers


class UseCases:
    """What one command or call may use, on behalf of `actor`, who is named in the history of each record it changes.

    `progress` is told how far a verb is. `reach` says which files of the host the caller may name; without it, as for a
    command, all that the configuration allows.
    """

    def __init__(self, runtime: "Runtime", *, actor: str, progress: "Progress", reach: "Reach | None" = None) -> None:
        self.runtime = runtime
        self.progress = progress
        self._actor = actor
        self._reach = reach

    @cached_property
    def clusters(self) -> "Clusters":
        from reconciler.usecases.clusters import Clusters

        return Clusters(self.runtime, actor=self._actor, progress=self.progress, reach=self._reach)

    @cached_property
    def nodes(self) -> "Nodes":
        from reconciler.usecases.nodes import Nodes

        return Nodes(self.runtime)

    @cached_property
    def inspection(self) -> "Inspection":
        from reconciler.usecases.inspection import Inspection

        return Inspection(self.runtime)

    @cached_property
    def hosts(self) -> "Hosts":
        from reconciler.usecases.hosts import Hosts

        return Hosts(self.runtime, self.clusters)

    @cached_property
    def kernel_logs(self) -> "KernelLogs":
        from reconciler.usecases.kernel_logs import KernelLogs

        return KernelLogs(self.runtime)

    @cached_property
    def consoles(self) -> "Consoles":
        from reconciler.usecases.consoles import Consoles

        return Consoles(self.runtime)

    @cached_property
    def transfers(self) -> "Transfers":
        from reconciler.usecases.transfers import Transfers

        return Transfers(self.runtime, self._reach, self.progress)

    @cached_property
    def snapshots(self) -> "Snapshots":
        from reconciler.usecases.snapshots import Snapshots

        return Snapshots(self.runtime, actor=self._actor, progress=self.progress)

    @cached_property
    def forks(self) -> "Forks":
        from reconciler.usecases.forks import Forks

        return Forks(self.runtime, actor=self._actor, progress=self.progress)

    @cached_property
    def upkeep(self) -> "SnapshotUpkeep":
        from reconciler.usecases.snapshot_upkeep import SnapshotUpkeep

        return SnapshotUpkeep(self.runtime, self.progress)

    @cached_property
    def faults(self) -> "Faults":
        from reconciler.usecases.network_faults import Faults

        return Faults(self.runtime, actor=self._actor, progress=self.progress)

    @cached_property
    def artifacts(self) -> "Artifacts":
        from reconciler.usecases.build_trees import Artifacts

        return Artifacts(self.runtime, self._reach, self.progress)

    @cached_property
    def deployment(self) -> "Deployment":
        from reconciler.usecases.deployment import Deployment

        return Deployment(self.runtime, self.progress)

    @cached_property
    def topologies(self) -> "Topologies":
        from reconciler.usecases.host_paths import reach_of_commands
        from reconciler.usecases.topologies import Topologies

        return Topologies(self.runtime.settings, self._reach or reach_of_commands(self.runtime.settings))

    @cached_property
    def jobs(self) -> "Jobs":
        from reconciler.usecases.jobs import Jobs

        return Jobs(self.runtime)
