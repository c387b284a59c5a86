"""Faults for tests: fixed ones by short names, and generated ones that users could have asked for."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from reconciler.faults.combine import Fault
from reconciler.faults.validate import impair_fault, partition_fault
from reconciler.model.choices import CutMode, Direction, Distribution
from reconciler.model.faults import (
    Bridge,
    ExplicitGrudge,
    Groups,
    Halves,
    ImpairFault,
    ImpairRequest,
    MajoritiesRing,
    One,
    PartitionFault,
    PartitionRequest,
    PartitionShape,
)
from reconciler.model.links import Impairment, Port, Ports

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES = ("n1", "n2", "n3", "n4", "n5")


def partition(
    shape: PartitionShape,
    nodes: Sequence[str] = NODES,
    *,
    name: str = "cut",
    direction: Direction = Direction.BOTH,
    mode: CutMode = CutMode.DROP,
    seed: int | None = None,
    expires_at: datetime | None = None,
) -> PartitionFault:
    """A partition that was just asked for."""
    request = PartitionRequest(shape=shape, direction=direction, mode=mode, seed=seed)
    return partition_fault(request, nodes, handle_id=name, created_at=NOW, expires_at=expires_at)


def impair(
    source: str,
    *targets: str,
    nodes: Sequence[str] = NODES,
    name: str = "impair",
    direction: Direction = Direction.TO,
    include_host: bool = False,
    **parameters: object,
) -> ImpairFault:
    """An impairment that was just asked for; without targets, of what goes to all others."""
    request = ImpairRequest(
        source=source,
        targets=targets or None,
        direction=direction,
        impairment=Impairment.model_validate(parameters),
        include_host=include_host,
    )
    return impair_fault(request, nodes, handle_id=name, created_at=NOW)


def ports(nodes: Sequence[str] = NODES) -> Ports:
    """Every node plugged in, and the host's own address."""
    taken = {
        node: Port(tap=f"vmc-{i:x}", mac=f"52:54:00:00:{i >> 8:02x}:{i & 255:02x}") for i, node in enumerate(nodes)
    }
    return Ports(taken, host_mac="52:54:00:ff:ff:ff")


_percentages = st.floats(0.0001, 100)
_sometimes = st.just(0.0) | _percentages


@st.composite
def _impairments(draw: st.DrawFn) -> Impairment:
    delay_ms = draw(st.just(0.0) | st.floats(0.01, 60_000))
    jitter_ms = draw(st.just(0.0) | st.floats(0.005, min(delay_ms, 2000))) if delay_ms >= 0.01 else 0.0
    loss_pct, corrupt_pct, rate_kbit = draw(_sometimes), draw(_sometimes), draw(st.just(0) | st.integers(1, 40_000_000))
    reorder_pct = draw(_sometimes) if delay_ms else 0.0
    if not (delay_ms or loss_pct or corrupt_pct or rate_kbit):
        loss_pct = draw(_percentages)
    return Impairment(
        delay_ms=delay_ms,
        jitter_ms=jitter_ms,
        delay_correlation_pct=draw(_sometimes) if jitter_ms else 0.0,
        distribution=draw(st.sampled_from(Distribution)) if jitter_ms else Distribution.UNIFORM,
        loss_pct=loss_pct,
        loss_correlation_pct=draw(_sometimes) if loss_pct else 0.0,
        duplicate_pct=draw(_sometimes),
        corrupt_pct=corrupt_pct,
        reorder_pct=reorder_pct,
        reorder_correlation_pct=draw(_sometimes) if reorder_pct else 0.0,
        reorder_gap=draw(st.integers(0, 100)) if reorder_pct else 0,
        rate_kbit=rate_kbit,
        limit_packets=draw(st.just(0) | st.integers(1, 100_000)),
    )


impairments = _impairments()
_nodes = st.sampled_from(NODES)
_groups = st.permutations(NODES).map(
    lambda order: Groups(groups=(tuple(order[:2]), tuple(order[2:3]), tuple(order[3:])))
)
_pairs = st.permutations(NODES).map(lambda order: Groups(groups=(tuple(order[:2]), tuple(order[2:4]))))
_grudges = st.dictionaries(_nodes, st.sets(_nodes, min_size=1), min_size=1).map(
    lambda wanted: {to: tuple(sorted(senders - {to})) for to, senders in wanted.items() if senders - {to}}
)
_whole = st.sampled_from([Bridge(), MajoritiesRing(), Halves()]) | _groups
_expiries = st.none() | st.integers(1, 3).map(lambda minutes: NOW + timedelta(minutes=minutes))
_seeds = st.none() | st.integers(0, 99)

partitions = st.one_of(
    st.builds(partition, _whole, seed=_seeds, expires_at=_expiries),
    st.builds(
        partition, st.sampled_from([Halves(), One()]) | _pairs, direction=st.sampled_from(Direction), seed=_seeds
    ),
    st.builds(partition, st.builds(One, node=_nodes), mode=st.sampled_from(CutMode)),
    st.builds(partition, _grudges.filter(bool).map(lambda grudge: ExplicitGrudge(grudge=grudge))),
)


@st.composite
def _impair_faults(draw: st.DrawFn) -> ImpairFault:
    source = draw(_nodes)
    others = [node for node in NODES if node != source]
    request = ImpairRequest(
        source=source,
        targets=draw(
            st.none() | st.sets(st.sampled_from(others), min_size=1).map(lambda chosen: tuple(sorted(chosen)))
        ),
        direction=draw(st.sampled_from(Direction)),
        impairment=draw(impairments),
        include_host=draw(st.booleans()),
    )
    return impair_fault(request, NODES, handle_id="impair", created_at=NOW)


fault_sets: st.SearchStrategy[list[Fault]] = st.lists(st.one_of(partitions, _impair_faults()), max_size=5)
