"""Artifacts on nodes: copying them there, installing and uninstalling them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from reconciler.artifacts.delivery import Delivery
from reconciler.artifacts.installation import (
    Examined,
    examine_node,
    forget_installation,
    install_on_node,
    payload_of,
    require_fit,
    require_same_mode,
    require_tool,
    uninstall_from_node,
    what_runs,
)
from reconciler.artifacts.library import Library
from reconciler.artifacts.node_scripts import DEFAULT_BASE, require_base
from reconciler.artifacts.tree_entries import TreeEntry
from reconciler.artifacts.upload import NodePlace
from reconciler.concurrency import together
from reconciler.errors import ArtifactNotSynced, ClusterError, LibvirtUnavailable
from reconciler.guest.address import GuestAddress
from reconciler.health.node_failures import partial_failure
from reconciler.health.node_state import NodeState, not_running
from reconciler.model.choices import InstallMode
from reconciler.model.record import ClusterRecord
from reconciler.model.results import InstallStatus, NodeInstall, NodeSync, SyncStatus, ToolError
from reconciler.progress import Progress, no_progress, said_meanwhile
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection
from reconciler.usecases.login import known_hosts_path

SYNC_TIMEOUT_S = 3600.0
INSTALL_TIMEOUT_S = 600.0


class Deployment:
    """Syncs and installs artifacts. The state is read from the node itself, so it reverts with a snapshot."""

    def __init__(self, runtime: Runtime, progress: Progress = no_progress) -> None:
        self._runtime = runtime
        self._progress = progress
        self._library = Library(runtime.settings.artifact_store_dir, runtime.settings.artifact_registry)

    async def sync(
        self,
        cluster: str,
        artifact_id: str,
        *,
        nodes: str | Iterable[str] | None = "all",
        force: bool = False,
        dest_base: str = DEFAULT_BASE,
        timeout_s: float = SYNC_TIMEOUT_S,
    ) -> SyncStatus:
        """Copy the artifact's tree to `dest_base`/id on the nodes.

        Raises `PartialFailure`, with the status of every node, if it is not complete on all of them.
        """
        base = require_base(dest_base)
        artifact = await asyncio.to_thread(self._library.registry.find, artifact_id)
        record, targets = await self._targets(cluster, nodes)
        delivery = Delivery(
            self._library,
            self._runtime.ssh,
            artifact.artifact_id,
            base=base,
            known_hosts_path=known_hosts_path(self._runtime.settings.state_dir, f"{cluster}.sync"),
            timeout_s=timeout_s,
            progress=self._progress,
        )
        up, down = await self._apart(record, targets)
        per_node = {**down_nodes(cluster, down), **await delivery.to_nodes(up, force=force)}
        status = SyncStatus(
            artifact_id=artifact.artifact_id,
            path=f"{base}/{artifact.artifact_id}",
            per_node={each.node: per_node[each.node] for each in targets},
        )
        _require_all(status, {node: of.error for node, of in status.per_node.items()}, "is not complete")
        return status

    async def install(
        self,
        cluster: str,
        artifact_id: str,
        *,
        nodes: str | Iterable[str] | None = "all",
        install_mode: InstallMode = InstallMode.MODPROBE_PATH,
        dest_base: str = DEFAULT_BASE,
        timeout_s: float = INSTALL_TIMEOUT_S,
    ) -> InstallStatus:
        """Install a synced artifact on the nodes, replacing one installed in the same mode.

        Touches no node unless it is complete on all of them, its modules fit their kernels, the programs to install it
        exist and nothing is installed in another mode; otherwise raises `ArtifactNotSynced`, `InvalidArgument` or
        `Conflict`. Raises `PartialFailure` if it then fails on a node.
        """
        base = require_base(dest_base)
        artifact = await asyncio.to_thread(self._library.registry.find, artifact_id)
        entries = await asyncio.to_thread(self._library.entries, artifact.artifact_id)
        payload = payload_of(entries, install_mode)
        targets = await self._running_targets(cluster, nodes)
        places = [NodePlace(each, base, artifact.artifact_id) for each in targets]
        async with self._library.alone_on(cluster, (each.node for each in targets), timeout_s=timeout_s):
            per_node = await self._install_at(places, install_mode, payload, timeout_s)
        status = InstallStatus(artifact_id=artifact.artifact_id, per_node=per_node)
        _require_all(status, {node: of.error for node, of in per_node.items()}, "was not installed")
        return status

    async def _install_at(
        self, places: Sequence[NodePlace], install_mode: InstallMode, payload: Sequence[TreeEntry], timeout_s: float
    ) -> dict[str, NodeInstall]:
        self._progress.report(f"examining {', '.join(of.address.node for of in places)}")
        examined = dict(
            zip(places, await together(*(examine_node(self._runtime.ssh, of) for of in places)), strict=True)
        )
        _require_synced(examined)
        for place, found in examined.items():
            require_same_mode(install_mode, found, place.address.node)
            require_tool(install_mode, found, place.address.node)
            if install_mode is InstallMode.MODPROBE_PATH:
                require_fit(payload, found, place.address.node)

        async def work(place: NodePlace) -> NodeInstall:
            return await install_on_node(
                self._runtime.ssh, place, install_mode, payload, examined[place], timeout_s=timeout_s
            )

        return await _on_each(
            {place.address.node: partial(work, place) for place in places},
            self._progress,
            what_runs(install_mode, len(payload)),
        )

    async def uninstall(
        self,
        cluster: str,
        *,
        nodes: str | Iterable[str] | None = "all",
        forget_only: bool = False,
        timeout_s: float = INSTALL_TIMEOUT_S,
    ) -> InstallStatus:
        """Uninstall the artifact from the nodes; loaded modules stay loaded, and synced trees stay there.

        With `forget_only` no files are removed; the nodes only no longer report it as installed.
        """
        targets = await self._running_targets(cluster, nodes)
        step = forget_installation if forget_only else partial(uninstall_from_node, timeout_s=timeout_s)
        work = {each.node: partial(step, self._runtime.ssh, each) for each in targets}
        async with self._library.alone_on(cluster, work, timeout_s=timeout_s):
            per_node = await _on_each(work, self._progress, "removing what is installed")
        status = InstallStatus(artifact_id=None, per_node=per_node)
        _require_all(status, {node: of.error for node, of in per_node.items()}, "was not uninstalled")
        return status

    async def _targets(
        self, cluster: str, nodes: str | Iterable[str] | None
    ) -> tuple[ClusterRecord, list[GuestAddress]]:
        record = await existing(self._runtime.store, cluster)
        return record, await addresses(self._runtime, record, select_nodes(record, nodes))

    async def _running_targets(self, cluster: str, nodes: str | Iterable[str] | None) -> list[GuestAddress]:
        record, targets = await self._targets(cluster, nodes)
        _, down = await self._apart(record, targets)
        if down:
            raise not_running(cluster, down)
        return targets

    async def _apart(
        self, record: ClusterRecord, targets: list[GuestAddress]
    ) -> tuple[list[GuestAddress], dict[str, NodeState]]:
        """The addresses of the nodes, and those that do not run, where waiting for a login would be in vain."""
        try:
            down = await Inspection(self._runtime).not_running(record, [each.node for each in targets])
        except LibvirtUnavailable:
            down = {}  # the machines may still run while libvirtd is down
        if len(down) == len(targets):
            raise not_running(record.cluster_name, down)
        return [each for each in targets if each.node not in down], down


def down_nodes(cluster: str, down: Mapping[str, NodeState]) -> dict[str, NodeSync]:
    """The error for nodes that do not run."""
    return {
        node: NodeSync(
            node_name=node,
            bytes_transferred=0,
            duration_s=0.0,
            rsync_exit_code=None,
            skipped=False,
            error=ToolError.of(not_running(cluster, {node: state})),
        )
        for node, state in down.items()
    }


async def _on_each(
    work: Mapping[str, Callable[[], Awaitable[NodeInstall]]], progress: Progress, what: str
) -> dict[str, NodeInstall]:
    """Do the work on all nodes in parallel, and say what; an error becomes the outcome of its node."""
    left = dict.fromkeys(work)

    async def one(node: str) -> NodeInstall:
        try:
            outcome = await work[node]()
        except ClusterError as error:
            told = ToolError.of(error).model_copy(update={"node": node})
            outcome = NodeInstall(
                node_name=node, exit_code=None, installed_module_paths=(), depmod_output="", error=told
            )
        del left[node]
        progress.finished(node, outcome.error.message if outcome.error else "done")
        return outcome

    progress.report(f"{', '.join(work)}: {what}")
    async with said_meanwhile(lambda: f"{', '.join(left)}: {what}", progress):
        outcomes = await together(*map(one, work))
    return {outcome.node_name: outcome for outcome in outcomes}


def _require_synced(examined: Mapping[NodePlace, Examined]) -> None:
    lacking = [place for place, found in examined.items() if not found.synced]
    if lacking:
        raise ArtifactNotSynced(
            f"artifact {lacking[0].artifact_id} is not complete on {', '.join(of.address.node for of in lacking)}",
            node=lacking[0].address.node if len(lacking) == 1 else None,
            hint="copy it there with `artifact_sync`",
        )


def _require_all(status: object, errors: Mapping[str, ToolError | None], what: str) -> None:
    failed = {node: error for node, error in errors.items() if error is not None}
    if failed:
        raise partial_failure(f"the artifact {what}", failed, len(errors), status)
