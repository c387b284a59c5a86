"""One round: observe, plan, act, and report the result."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from reconciler.act.context import ActContext
from reconciler.act.outcome import Checkpoint, Outcome
from reconciler.act.runner import carry_out
from reconciler.controller.amendments import (
    CONTROLLER,
    Overtaken,
    expire_faults,
    with_booted_files,
    with_ended_nodes,
    with_snapshots_of_forks,
)
from reconciler.controller.conditions import obstacle_of
from reconciler.controller.decision import Decision, decided
from reconciler.controller.fault_export import FaultExport
from reconciler.controller.faults_without_store import RememberedFaults
from reconciler.controller.image_exchange import ImageExchange
from reconciler.controller.journal import EventJournal, OnEvent, no_observer
from reconciler.controller.looks import Looks
from reconciler.controller.origins import origin_of_round, sign_what_is_due
from reconciler.controller.part_report import nothing_is_left, others_of
from reconciler.controller.retries import Retries
from reconciler.controller.round_input import RoundInput, round_input_of
from reconciler.controller.round_results import PlannedChange, PlannedDifference, RoundResult, interfaces_of
from reconciler.controller.status_writer import StatusWriter
from reconciler.desired.addresses import guest_address
from reconciler.desired.compile import seed_inputs
from reconciler.desired.part import revert_of
from reconciler.desired.recorded_file_uses import recorded_uses
from reconciler.errors import ClusterError, StoreUnavailable, error_to_answer
from reconciler.files.marked_files import bind_copies
from reconciler.guest.pool import SshPool
from reconciler.host.console_log import CONSOLE_LIMIT_BYTES, bound_consoles
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.disks.manifests import remove_traces
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.origin import Origin
from reconciler.model.plan import FlattenLayer
from reconciler.model.record import ClusterRecord
from reconciler.model.status import Obstacle
from reconciler.plan.consent import addresses_lost
from reconciler.plan.planner import plan
from reconciler.store.protocol import Store
from reconciler.templates.cloning import Templates

log = structlog.get_logger(__name__)


class Rounds:
    """Rounds on one host. The caller holds the locks of the store and of the host while one runs.

    In a store of several hosts each action needs the host's own lease, in the term in which the round began.
    """

    def __init__(
        self,
        store: Store,
        looks: Looks,
        libvirt: Libvirt,
        links: LinkDriver,
        ssh: SshPool,
        fault_registry: Path,
        templates: Templates,
        checkpoint: Checkpoint = lambda _name: None,
        remove_side_files: Callable[[str], None] = lambda _cluster: None,
        console_limit_bytes: int = CONSOLE_LIMIT_BYTES,
        images: ImageExchange | None = None,
    ) -> None:
        self.host = store.own_host
        self._store = store
        self._membership = store.membership()
        self.parts = looks.parts
        self._looks = looks
        self._libvirt = libvirt
        self._links = links
        self._layers = LayerDriver()
        self._ssh = ssh
        self._templates = templates
        self._export = FaultExport(fault_registry, store)
        self._status = StatusWriter(store, self._export)
        self._checkpoint = checkpoint
        self._remove_side_files = remove_side_files
        self._console_limit_bytes = console_limit_bytes
        self._images = images
        self._stopping = False
        self.remembered = RememberedFaults()

    async def heal_by_marks(self, cluster: str, taps: Collection[str], *, cuts: bool) -> int:
        """Remove links of a cluster without a record, by their marks on the host.

        Returns in how many places there were some: each of the taps and, with `cuts`, the firewall.
        """
        term = await self._membership.enter()
        shaped = await self._links.shaped_taps(taps)
        cut = cuts and await self._links.has_cuts(cluster)
        self._membership.require(term)
        await self._links.clear(cluster, taps, cuts=cuts)
        if cuts:
            await self._export.forget(cluster)
        return len(shaped) + cut

    async def bind_copies(self, record: ClusterRecord) -> bool:
        """Adopt copied files of a cluster, whose marks are those of the originals; whether there were any."""
        files = (*record.spec.extra_files, *record.former_files)
        require = partial(self._membership.require, await self._membership.enter())
        bound = await asyncio.to_thread(bind_copies, record.spec.overlay_dir, record.cluster_name, files, require)
        if bound:
            log.info("copies_taken_up", cluster=record.cluster_name, files=[str(path) for path in bound])
        return bool(bound)

    def stop(self) -> None:
        """Start no further action, because this process is ending. Running actions are finished."""
        self._stopping = True

    async def run(
        self,
        cluster: str,
        tell: OnEvent = no_observer,
        retries: Retries | None = None,
        foreseen: PlannedChange | None = None,
    ) -> RoundResult:
        """One round on a cluster.

        If the host cannot be observed, it ends with an error and without an action. With `retries`, no caller waits for
        the round, and what failed recently is left alone for a while. A `foreseen` plan is carried out as planned,
        unless the record has changed since. However the round ends, the status is written.
        """
        term = await self._membership.enter()
        standing = await self._store.standing(cluster)
        if standing is None:
            return RoundResult(gone=True)
        view = round_input_of(standing, retries, self.host, term)
        if view.is_elsewhere:
            return RoundResult(view.whole.generation, gone=True, spans=True)
        try:
            view = await self.parts.joined(view)
            if self._images is not None:
                await self._images.require(view.record)
            decision = await self._decide(view, foreseen)
            if decision.view.hosts is not None:
                self.remembered.note(decision.view.record)
            outcomes = await self._act(decision, tell)
            while failed := _failed_upkeep(outcomes, decision.view):
                # Upkeep comes last; whether there is more to do without it shows only a new observation.
                view = replace(decision.view, put_off={**decision.view.put_off, **failed})
                decision = await self._decide(view)
                outcomes = await self._act(decision, tell)
            return await self._end(decision, outcomes, tell)
        except Overtaken:
            return await self.run(cluster, tell, retries, foreseen)
        except StoreUnavailable:  # its store cannot be written either
            raise
        except (ClusterError, OSError) as caught:
            return await self._status.write_failure(view, error_to_answer(caught))
        except Exception as defect:
            await self._status.write_failure(view, error_to_answer(defect))
            raise

    async def end_faults_alone(self, cluster: str) -> None:
        """End the faults whose time is over, without the store, which may be away, and the right to anything else."""
        record = self.remembered.without_expired(cluster)
        if record is None:
            return
        todo = await self._looks.link_plan(record)
        view = RoundInput(record, None, request=0, retries=None, put_off={}, whole=record, host=self.host)
        context = self._context(view, None, EventJournal(self._store, record, no_observer))
        alone = replace(context, require_term=lambda: None, on_outcome=lambda _: None)
        outcomes = await carry_out(todo, alone)
        if all(outcome.error is None for outcome in outcomes):
            self.remembered.note(record)

    async def could_not_begin(self, cluster: str, retries: Retries, error: ClusterError) -> RoundResult:
        """A round that could not start: the cluster's status says why."""
        standing = await self._store.standing(cluster)
        if standing is None:
            return RoundResult(gone=True)
        return await self._status.write_failure(round_input_of(standing, retries, self.host), error)

    async def _decide(self, view: RoundInput, foreseen: PlannedChange | None = None) -> Decision:
        """What to do, from one observation of the host; expired faults and stopped nodes are first written to the
        record.
        """
        view = view.with_record(await expire_faults(self._store, view.whole))
        same = foreseen is not None and foreseen.record.generation == view.record.generation
        found = foreseen.difference if foreseen and same else None
        difference = _agreed(found, view.record) if found else await self._looks.difference(view)
        while True:
            decision = decided(view, difference)
            whole = await self._amended(decision)
            if whole is view.whole:
                return decision
            view = view.with_record(whole)
            difference = await self._looks.difference(view, difference.observed)  # only the record has changed

    async def _amended(self, decision: Decision) -> ClusterRecord:
        whole, difference = decision.view.whole, decision.difference
        if difference.plan.foreign:
            return whole
        observed = difference.observed
        for amend in (with_ended_nodes, with_snapshots_of_forks):
            if (amended := await amend(self._store, whole, observed)) is not whole:
                return amended
        return await with_booted_files(self._store, whole, decision.todo)

    async def _act(self, decision: Decision, tell: OnEvent) -> list[Outcome]:
        view, todo, observed = decision.view, decision.todo, decision.difference.observed
        if not decision.difference.plan.foreign:
            await bound_consoles(view.record, self._console_limit_bytes)
        async with EventJournal(self._store, view.record, tell, drifted=decision.drifted) as journal:
            journal.found(todo)
            self._membership.require(view.term)
            origin = await origin_of_round(self._store, view.record, observed, todo, view.term)
            context = self._context(view, origin, journal)
            await sign_what_is_due(context, observed, todo)
            if todo.actions:
                await self._status.write_beginning(view)
            outcomes = await carry_out(todo, context) if todo.actions else []
        if view.retries is not None:
            view.retries.note(outcomes)
        return outcomes

    async def _end(self, decision: Decision, outcomes: list[Outcome], tell: OnEvent) -> RoundResult:
        view, plan_found = decision.view, decision.difference.plan
        record = view.record
        if record.deletion is not None and record.deletion.remove_overlays and plan_found.converged:
            async with EventJournal(self._store, record, tell) as journal:
                journal.faults(view.before, {})
            self._membership.require(view.term)
            gone = await self._forget(view)
            return RoundResult(record.generation, plan_found, gone=gone, spans=not gone)
        if view.is_leaving and plan_found.converged and not decision.difference.observed.snapshots:
            self._membership.require(view.term)
            await self._clean_up(record)
            await self._store.leave(record.cluster_name)
            return RoundResult(record.generation, plan_found, gone=True, spans=True)
        await self.parts.keep_visit(view)
        look = await self._status.write_result(decision, outcomes, tell)
        return RoundResult(
            record.generation,
            decision.drift.todo,
            tuple(outcomes),
            interfaces=interfaces_of(record),
            drifted=decision.drifted,
            look=look,
            spans=bool(others_of(view.whole, self.host, view.hosts)),
        )

    def _context(self, view: RoundInput, origin: Origin | None, journal: EventJournal) -> ActContext:
        record, hosts = view.record, view.placed_on
        return ActContext(
            record=record,
            origin=origin,
            libvirt=self._libvirt,
            layers=self._layers,
            links=self._links,
            ssh=self._ssh,
            templates=self._templates,
            seeds=seed_inputs(record),
            address_of=partial(guest_address, record),
            checkpoint=self._checkpoint,
            on_outcome=journal.ended,
            recorded_uses=lambda: recorded_uses(self._store),
            require_term=partial(self._membership.require, view.term),
            meeting=lambda matter: self._store.meeting(record.cluster_name, matter, hosts),
            revert=revert_of(view.whole),
            on_advance=journal.advanced,
            stopping=lambda: self._stopping,
        )

    async def _forget(self, view: RoundInput) -> bool:
        """The last step of a deletion: only the record is left, which goes when no host has anything left."""
        cluster = view.whole.cluster_name
        await self._clean_up(view.record)
        if view.hosts is not None:
            await self._status.write_nothing_left(view)
            now = await self._store.standing(cluster)
            if now is not None and now.hosts is not None and not nothing_is_left(view.whole, now.hosts):
                return False
        self._checkpoint("before Forget")
        await self._store.remove(cluster, expected_generation=view.whole.generation, actor=CONTROLLER)
        return True

    async def _clean_up(self, record: ClusterRecord) -> None:
        """Delete what the host has beside the cluster itself."""
        await asyncio.to_thread(remove_traces, record.spec.overlay_dir, record.cluster_name)
        await self._export.forget(record.cluster_name)
        await asyncio.to_thread(self._remove_side_files, record.cluster_name)


def _agreed(difference: PlannedDifference, record: ClusterRecord) -> PlannedDifference:
    """The part of a foreseen plan whose losses the record's generation has approved."""
    if addresses_lost(difference.desired, difference.observed) <= set(record.consent):
        return difference
    return replace(difference, plan=plan(difference.desired, difference.observed, consent=frozenset(record.consent)))


def _failed_upkeep(outcomes: Iterable[Outcome], view: RoundInput) -> dict[str, Obstacle]:
    """Why upkeep failed, by node, if it was not postponed before. A round with upkeep has no other actions."""
    failed = ((of.action, of.error) for of in outcomes if of.error is not None)
    return {
        action.node: obstacle_of(error)
        for action, error in failed
        if isinstance(action, FlattenLayer) and action.node not in view.put_off
    }
