"""Reads clusters: status, handle, waiting for logins. Changes nothing."""

import asyncio
from collections.abc import Iterable, Mapping, Set
from copy import copy
from datetime import UTC, datetime

from reconciler.artifacts.node_scripts import DEFAULT_BASE, RECORD_PATH
from reconciler.concurrency import together
from reconciler.controller.round_results import Look
from reconciler.errors import ClusterError, ClusterNotFound, LibvirtUnavailable, RecordUnreadable, SshError, SshTimeout
from reconciler.faults.combine import wanted_at
from reconciler.faults.kinds import pulled_by
from reconciler.guest.address import GuestAddress
from reconciler.health.boots_watched import boots_reported
from reconciler.health.cluster_conditions import guests_conditions, with_guests
from reconciler.health.no_login import Quiet, quiet
from reconciler.health.node_failures import no_logins
from reconciler.health.node_probe import Probe, console_elsewhere, console_state, probe, silent_state
from reconciler.health.node_state import NodeState, no_login, not_running, unlike_wanted, with_life_signs
from reconciler.health.provisioning import unseen_condition
from reconciler.model import names
from reconciler.model.document import Domain, Network
from reconciler.model.record import ClusterRecord, WantedPower
from reconciler.model.results import (
    ClusterHandle,
    ClusterStatus,
    ClusterSummary,
    DomainState,
    ExecResult,
    GuestDisk,
    NodeDescriptor,
    NodeStatus,
    NodeSummary,
    ToolError,
)
from reconciler.model.status import Condition
from reconciler.observe.clean_kernels import KernelState
from reconciler.observe.cluster import FoundDomains
from reconciler.observe.liveness import observe_life_signs, observe_power_turn
from reconciler.progress import Progress, said_meanwhile
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing
from reconciler.runtime import Runtime

STATUS_TIMEOUT_S = 5.0
"""How long `status` waits for a running node to answer."""

_HANDLE_COMMAND = f"""
uname -r
if [ -r {RECORD_PATH} ]; then {{ read -r i; read -r tree; }} <{RECORD_PATH}; else
i=$(ls -1t {DEFAULT_BASE}/.complete 2>/dev/null | head -n 1); tree={DEFAULT_BASE}/$i; fi
[ -n "$i" ] && [ -d "$tree" ] && echo "$tree"; true"""
"""Prints the kernel, and the installed tree or otherwise the one synced last."""


class Inspection:
    """The use cases that only read."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def status(self, cluster: str, look: Look | None = None) -> ClusterStatus:
        """The current state of a cluster; running nodes are asked over SSH, in parallel.

        With a recent `look` the host is not observed again. Raises `LibvirtUnavailable` with what is known as its
        partial result.
        """
        if look is None:
            record = await existing(self._runtime.store, cluster)
            return await self._status(record)
        up = [name for name in look.record.spec.nodes if _standing(look, name).state is DomainState.RUNNING]
        return await self._shown(look.record, look, await self._asked(look.record, up))

    async def clusters(self) -> list[ClusterSummary]:
        """Every cluster that has a record, including destroyed ones with kept disks; contacts no node."""
        found = await together(*map(self._listed, await self._runtime.store.names()))
        return [summary for summary in found if summary is not None]

    async def _listed(self, cluster: str) -> ClusterSummary | None:
        try:
            look = await self._runtime.looks.look(cluster)
        except RecordUnreadable as error:
            return ClusterSummary.of_unreadable(cluster, str(error))
        return None if look is None else _summary(look)

    async def handle(self, cluster: str, *, partial: bool = False) -> ClusterHandle:
        """How to log in to every node, or with `partial` to those that answer.

        Raises `ClusterNotRunning` unless all of them, or with `partial` at least one, run and answer.
        """
        record = await existing(self._runtime.store, cluster)
        down = await self.not_running(record, list(record.spec.nodes))
        if down and (not partial or len(down) == len(record.spec.nodes)):
            raise _not_whole(cluster, down)
        targets = await addresses(self._runtime, record, [node for node in record.spec.nodes if node not in down])
        answers, failures = await self._kernels(record, targets)
        if failures and (not partial or not answers):
            raise next(iter(failures.values()))
        failures |= {node: not_running(cluster, {node: standing}) for node, standing in down.items()}
        reached = [target for target in targets if target.node in answers]
        return ClusterHandle(
            cluster_name=cluster,
            nodes=tuple(_descriptor(record, address) for address in reached),
            artifact_path=next(iter(answers[reached[0].node][1:]), None),
            kernel_version=answers[reached[0].node][0],
            kernel_versions={target.node: answers[target.node][0] for target in reached},
            unreachable={node: ToolError.of(failures[node]) for node in record.spec.nodes if node in failures},
        )

    async def _kernels(
        self, record: ClusterRecord, targets: list[GuestAddress]
    ) -> tuple[dict[str, list[str]], dict[str, ClusterError]]:
        """The kernel and tree of each node, and the nodes that did not answer."""
        timeout_s = record.spec.ssh.connect_timeout_s
        found = await self._runtime.ssh.run_all(targets, _HANDLE_COMMAND, timeout_s=timeout_s, own=True)
        answers: dict[str, list[str]] = {}
        failures: dict[str, ClusterError] = {}
        for node, answer in found.items():
            if isinstance(answer, ClusterError):
                failures[node] = answer
            elif lines := answer.stdout.splitlines():
                answers[node] = lines
            else:
                failures[node] = _says_nothing(node, answer, timeout_s)
        return answers, failures

    async def wait_for_ssh(
        self, record: ClusterRecord, nodes: list[str], *, timeout_s: float, progress: Progress
    ) -> None:
        """Return when every node accepts a login. Raises `SshTimeout` naming those that do not in time."""
        waiting = dict.fromkeys(nodes)

        async def wait_for(address: GuestAddress) -> ClusterError | None:
            try:
                await self._runtime.ssh.wait_until_reachable(address, timeout_s=timeout_s)
            except ClusterError as error:
                return error
            del waiting[address.node]
            progress.finished(address.node, "reachable over SSH")
            return None

        targets = await addresses(self._runtime, record, nodes)
        here = await self._runtime.looks.parts.nodes_here(record)
        told = said_meanwhile(lambda: f"waiting for SSH: {', '.join(waiting)}", progress)
        async with boots_reported(record, waiting, here, progress), told:
            outcomes = await together(*map(wait_for, targets))
        failures = {node: error for node, error in zip(nodes, outcomes, strict=True) if error is not None}
        if failures:
            dead = await self._dead(record, failures, timeout_s)
            raise no_logins(await self.explained(record, {**failures, **dead}), timeout_s)

    async def _dead(self, record: ClusterRecord, nodes: Iterable[str], timeout_s: float) -> dict[str, ClusterError]:
        """Why there is no login to those of `nodes` that do not run."""
        down = await self.known_down(record, nodes)
        return {node: no_login(node, standing, timeout_s) for node, standing in down.items()}

    async def explained(self, record: ClusterRecord, failures: Mapping[str, ClusterError]) -> dict[str, ClusterError]:
        """The same errors, by node; those of silent nodes also say what the host has observed of the node."""
        without = {node: error for node, error in failures.items() if isinstance(error, SshTimeout)}
        try:
            domains = await self._runtime.libvirt.find_domains(record.cluster_name) if without else {}
        except LibvirtUnavailable:
            return {**failures}
        told = await together(*(with_life_signs(record, error, domains.get(node)) for node, error in without.items()))
        return {**failures, **dict(zip(without, told, strict=True))}

    async def not_running(self, record: ClusterRecord, nodes: Iterable[str]) -> dict[str, NodeState]:
        """Those of `nodes` that do not run, with their states."""
        wanted = [*nodes]
        here = await self._runtime.looks.parts.nodes_here(record)
        ask_here = not wanted or any(name in here for name in wanted)
        domains = await self._runtime.libvirt.find_domains(record.cluster_name) if ask_here else {}
        elsewhere = await self._elsewhere(record, {name for name in wanted if name not in here})
        found = {name: elsewhere[name] if name in elsewhere else NodeState.of(domains.get(name)) for name in wanted}
        return {name: standing for name, standing in found.items() if standing.state is not DomainState.RUNNING}

    async def _elsewhere(self, record: ClusterRecord, nodes: Set[str]) -> dict[str, NodeState]:
        """These nodes of other hosts as they were seen last; unknown if their host is lost, or has said nothing."""
        said = await self._runtime.looks.parts.power_elsewhere(record) if nodes else {}
        return {name: NodeState.seen(said.get(name)) for name in nodes}

    async def known_down(self, record: ClusterRecord, nodes: Iterable[str]) -> dict[str, NodeState]:
        """Those of `nodes` that do not run, so that no login is attempted; none while libvirt is unavailable."""
        try:
            return await self.not_running(record, nodes)
        except LibvirtUnavailable:
            return {}  # the machines may still run while libvirtd is down

    async def require_running(self, record: ClusterRecord, nodes: list[str]) -> None:
        """Raise `ClusterNotRunning` naming the nodes among `nodes` that do not run."""
        if down := await self.not_running(record, nodes):
            raise not_running(record.cluster_name, down)

    async def _status(self, record: ClusterRecord) -> ClusterStatus:
        """Nodes are asked as soon as it is known which of them run, while the rest of the host is observed."""
        cluster = record.cluster_name
        found = asyncio.ensure_future(self._runtime.libvirt.find_domains(cluster))
        look, probes = await together(self._runtime.looks.look(cluster, found), self._probes(record, found))
        if look is None:
            raise ClusterNotFound(f"cluster {cluster!r} was destroyed by another client meanwhile")
        status = await self._shown(record, look, probes)
        if look.observed is None and look.error is not None:
            error = copy(look.error)  # concurrent callers share one look
            error.partial = status
            raise error
        return status

    async def _probes(self, record: ClusterRecord, found: FoundDomains) -> dict[str, Probe | ClusterError]:
        """What the running nodes report."""
        try:
            domains = await found
        except ClusterError:  # the look reports that
            return {}
        here = await self._runtime.looks.parts.nodes_here(record)
        states = {name: NodeState.of(domains.get(name)) for name in here}
        states |= await self._elsewhere(record, record.spec.nodes.keys() - here)
        return await self._asked(
            record, [name for name in record.spec.nodes if states[name].state is DomainState.RUNNING]
        )

    async def _shown(
        self, record: ClusterRecord, look: Look, probes: Mapping[str, Probe | ClusterError]
    ) -> ClusterStatus:
        elsewhere = await self._runtime.looks.parts.nodes_elsewhere(record)
        names = record.spec.nodes
        nodes = await together(*(_node(record, name, look, probes.get(name), elsewhere.get(name)) for name in names))
        here = bool(names.keys() - elsewhere.keys()) or not names
        return _status_of(record, look, tuple(nodes), is_active=_network_is_active(look, here=here))

    async def _asked(self, record: ClusterRecord, up: list[str]) -> dict[str, Probe | ClusterError]:
        """What these nodes report over SSH."""
        probes = await together(*(probe(self._runtime, record, name, STATUS_TIMEOUT_S) for name in up))
        return dict(zip(up, probes, strict=True))


async def _node(
    record: ClusterRecord, name: str, look: Look, visit: Probe | ClusterError | None, elsewhere: str | None
) -> NodeStatus:
    """What is known of a node; `elsewhere` is the other host that it is on."""
    state = _standing(look, name).state
    seen, error = (visit, None) if isinstance(visit, Probe) else (None, visit or _why_not_asked(look, name))
    silence = None if seen or state is not DomainState.RUNNING else await _silence(record, name, look)
    kernel = seen.kernel if seen else await _kernel_beyond_reach(record, name, state, silence, elsewhere)
    provisioned = (
        seen.provisioned
        if seen
        else await _unseen(record, name, look, visit if isinstance(visit, ClusterError) else None)
    )
    messages = [obstacle.message for obstacle in look.status.obstacles if obstacle.node == name]
    messages += [str(silence)] if silence else []
    messages += [] if messages else _unlike_wanted(look, name)
    messages += [f"its cable is unplugged by {fault}" for fault in pulled_by(record.faults, name)]
    messages += [_clock_differs(seen.clock_offset_s)] if seen and seen.clock_offset_s else []
    if kernel and kernel.event:
        messages.append(f"the kernel reported: {kernel.event.summary}")
    return NodeStatus(
        name=name,
        role=record.spec.nodes[name].role,
        ip=str(record.spec.nodes[name].ip),
        domain_state=state,
        ssh_reachable=seen is not None,
        ssh_error=ToolError.of(error) if error else None,
        clock_offset_s=seen.clock_offset_s if seen else None,
        artifact_id_installed=seen.artifact_id if seen else None,
        loaded_modules=seen.modules if seen else (),
        message="; ".join(messages) or None,
        conditions=(*([kernel.condition] if kernel else []), provisioned),
        first_bad_event=kernel.event if kernel else None,
    )


def _clock_differs(offset_s: float) -> str:
    how = "ahead of" if offset_s > 0 else "behind"
    return f"its clock is {abs(offset_s):.0f} s {how} the host's"


def _unlike_wanted(look: Look, node: str) -> list[str]:
    """How a node's state differs from the desired one."""
    if look.observed is None:
        return [look.error.message] if look.error else []
    told = unlike_wanted(
        look.record.nodes[node].power, look.record.spec.nodes[node].restart, look.observed.power.get(node)
    )
    return [told] if told else []


async def _unseen(record: ClusterRecord, node: str, look: Look, refused: ClusterError | None) -> Condition:
    """The report of a node that did not answer: unknown since it was turned on or off."""
    turned = await observe_power_turn(record, node)
    since = turned or min((of.last_transition for of in look.status.conditions), default=look.status.updated_at)
    standing = _standing(look, node)
    error = refused or (look.error if standing.state is DomainState.UNKNOWN else None)
    return unseen_condition(standing.state, error.message if error else standing.told, since)


def _why_not_asked(look: Look, node: str) -> ClusterError:
    """Why a node was not asked."""
    standing = _standing(look, node)
    if standing.state is DomainState.UNKNOWN and look.error:
        return look.error
    return not_running(look.record.cluster_name, {node: standing})


def _standing(look: Look, node: str) -> NodeState:
    return NodeState.seen(look.observed.power.get(node) if look.observed else None)


def _says_nothing(node: str, answer: ExecResult, timeout_s: float) -> SshError:
    """The error for a node that accepted the login but did not report its kernel."""
    how = f"did not answer within {timeout_s:g} s" if answer.timed_out else f"ended with {answer.exit_code}"
    said = f": {answer.stderr.strip()[:200]}" if answer.stderr.strip() else ""
    message = f"the command that reads its kernel's state {how}{said}"
    return SshError(message, node=node, hint="see what `node_exec` reports")


def _not_whole(cluster: str, down: Mapping[str, NodeState]) -> ClusterError:
    error = not_running(cluster, down)
    error.hint = f"{error.hint}; pass `partial` to get the running nodes"
    return error


def _network_is_active(look: Look, *, here: bool) -> bool:
    """Whether the network of a cluster is up: `here`, or on the hosts where its nodes are, as they saw it last."""
    if not here:
        return look.status.network_active
    networks = look.observed.networks.values() if look.observed else ()
    return any(isinstance(network, Network) and network.active for network in networks)


def _status_of(record: ClusterRecord, look: Look, nodes: tuple[NodeStatus, ...], *, is_active: bool) -> ClusterStatus:
    return ClusterStatus(
        cluster_name=look.record.cluster_name,
        network_active=is_active,
        nodes=nodes,
        generation=look.record.generation,
        observed_generation=look.status.observed_generation,
        conditions=with_guests(look.status.conditions, guests_conditions(record, nodes)),
        forked_from=str(record.forked_from) if record.forked_from else None,
        faults_in_force=tuple(of.handle_id for of in wanted_at(look.record.faults.values(), datetime.now(UTC))),
    )


def _summary(look: Look) -> ClusterSummary:
    record = look.record
    return ClusterSummary(
        cluster_name=record.cluster_name,
        nodes=tuple(NodeSummary(name=name, role=of.role, ip=str(of.ip)) for name, of in record.spec.nodes.items()),
        node_count=len(record.spec.nodes),
        wanted_running=sum(intent.power is WantedPower.RUNNING for intent in record.nodes.values()),
        destroyed=record.deletion is not None,
        generation=record.generation,
        conditions=look.status.conditions,
        forked_from=str(record.forked_from) if record.forked_from else None,
    )


async def _silence(record: ClusterRecord, node: str, look: Look) -> Quiet | None:
    """The absence of a sign of life from a running node that did not answer; None if it has shown one, or still may."""
    domain = look.observed.domains.get(node) if look.observed else None
    found = quiet(await observe_life_signs(record, node), domain) if isinstance(domain, Domain) else None
    return found if found and found.silent else None


async def _kernel_beyond_reach(
    record: ClusterRecord, node: str, state: DomainState, silence: Quiet | None, elsewhere: str | None
) -> KernelState | None:
    """The kernel of a node that did not answer; None if none is running."""
    if silence is not None:
        return silent_state(silence)
    if state in {DomainState.SHUT_OFF, DomainState.UNKNOWN}:
        return None
    return await console_state(record, node) if elsewhere is None else console_elsewhere(elsewhere)


def _descriptor(record: ClusterRecord, address: GuestAddress) -> NodeDescriptor:
    return NodeDescriptor(
        name=address.node,
        role=record.spec.nodes[address.node].role,
        ip=address.host,
        bind_address=address.source,
        bind_interface=address.device,
        ssh_port=address.port,
        ssh_user=address.user,
        ssh_key_path=str(address.key_path),
        host_key=address.host_key,
        extra_disks=tuple(
            GuestDisk(
                path=str(disk.path),
                guest_path=names.guest_disk_path(disk.bus.value, target),
                size_bytes=disk.size_bytes,
            )
            for target, disk in record.spec.nodes[address.node].extra_disks.items()
        ),
    )
