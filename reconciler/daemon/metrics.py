"""The metrics of a running service, which Prometheus fetches from the loopback interface.

https://prometheus.io/docs/practices/naming/
"""

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from reconciler.act.outcome import Outcome
from reconciler.controller.round_results import Look, RoundResult
from reconciler.errors import ConfigurationInvalid
from reconciler.model.document import Power, PowerState, Unknown

LOOPBACK = "127.0.0.1"
UNDEFINED = "undefined"
UNKNOWN = "unknown"
NODE_STATES = (*(state.value for state in PowerState), UNDEFINED, UNKNOWN)

_ROUND_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_ACTION_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric family: name, meaning, and labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: Sequence[float] | None = None

    def counter(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.meaning, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.meaning, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        assert self.buckets is not None
        return Histogram(self.name, self.meaning, self.labels, registry=registry, buckets=self.buckets)


ROUNDS = Measure(
    "vmcluster_rounds_total", "Rounds by result: converged, acted (there were actions) or failed.", ("outcome",)
)
ROUND_DURATION = Measure("vmcluster_round_duration_seconds", "Duration of rounds.", (), _ROUND_BUCKETS_S)
ACTIONS = Measure("vmcluster_actions_total", "Actions that were started.", ("kind", "action"))
FAILURES = Measure("vmcluster_action_failures_total", "Actions that failed.", ("kind", "action", "code"))
ACTION_DURATION = Measure("vmcluster_action_duration_seconds", "Duration of actions.", ("kind",), _ACTION_BUCKETS_S)
DRIFT_REPAIRED = Measure("vmcluster_drift_repaired_total", "Actions that repaired drift.", ("kind",))
CLUSTERS = Measure("vmcluster_cluster_converged", "1 if the cluster is as desired.", ("cluster",))
NODES = Measure("vmcluster_nodes", "Nodes in each state.", ("cluster", "state"))
FAULTS = Measure("vmcluster_active_faults", "Desired network faults.", ("cluster",))

MEASURES = (ROUNDS, ROUND_DURATION, ACTIONS, FAILURES, ACTION_DURATION, DRIFT_REPAIRED, CLUSTERS, NODES, FAULTS)


class Metrics:
    """The metrics of one service and its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._rounds = ROUNDS.counter(self.registry)
        self._round_duration = ROUND_DURATION.histogram(self.registry)
        self._actions = ACTIONS.counter(self.registry)
        self._failures = FAILURES.counter(self.registry)
        self._action_duration = ACTION_DURATION.histogram(self.registry)
        self._repaired = DRIFT_REPAIRED.counter(self.registry)
        self._clusters = CLUSTERS.gauge(self.registry)
        self._nodes = NODES.gauge(self.registry)
        self._faults = FAULTS.gauge(self.registry)

    def on_round(self, cluster: str, result: RoundResult, duration_s: float) -> None:
        """Count a round, and update what is shown of its cluster."""
        self._rounds.labels(_outcome_of(result)).inc()
        self._round_duration.observe(duration_s)
        for outcome in result.outcomes:
            self._count(outcome, drifted=result.drifted)
        if result.gone:
            self._forget(cluster)
            return
        self._clusters.labels(cluster).set(result.converged)
        if result.look is not None:
            self._show(cluster, result.look)

    def _count(self, outcome: Outcome, *, drifted: bool) -> None:
        kind, action = outcome.action.kind, type(outcome.action).__name__
        self._actions.labels(kind, action).inc()
        self._action_duration.labels(kind).observe(outcome.duration_s)
        if outcome.error is not None:
            self._failures.labels(kind, action, outcome.error.code.value).inc()
        elif drifted:
            self._repaired.labels(kind).inc()

    def _show(self, cluster: str, look: Look) -> None:
        """Each node's state as observed before the round acted, and the number of faults."""
        power = look.observed.power if look.observed else {}
        found = Tally(_state_of(power.get(node)) for node in look.record.spec.nodes)
        for state in NODE_STATES:
            self._nodes.labels(cluster, state).set(found[state])
        self._faults.labels(cluster).set(len(look.record.faults))

    def _forget(self, cluster: str) -> None:
        for family in (self._clusters, self._nodes, self._faults):
            family.remove_by_labels({"cluster": cluster})


@asynccontextmanager
async def served(metrics: Metrics, port: int) -> AsyncIterator[None]:
    """Answer `GET /metrics` on the loopback interface. Raises `ConfigurationInvalid` if the port is in use."""
    try:
        server, thread = start_http_server(port, LOOPBACK, metrics.registry)
    except OSError as error:
        raise ConfigurationInvalid(
            f"cannot serve metrics on {LOOPBACK}:{port}: {error.strerror or error}",
            hint="set a different metrics_port, or 0 for no metrics",
        ) from error
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)


def _state_of(power: Power | Unknown | None) -> str:
    if power is None:
        return "undefined"
    return "unknown" if isinstance(power, Unknown) else power.state.value


def _outcome_of(result: RoundResult) -> str:
    if result.failed:
        return "failed"
    return "converged" if result.converged else "acted"
