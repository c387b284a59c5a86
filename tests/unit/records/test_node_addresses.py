"""How nodes on other hosts are known."""

from datetime import UTC, datetime

from reconciler.model.document import PowerState
from reconciler.model.status import NodeReport, RecordStatus
from reconciler.records.node_addresses import _keys_in
from reconciler.store.protocol import HostWords
from tests.simulation.many_hosts import spec_over
from tests.simulation.worlds import CLUSTER, running_record


def word(host: str, **keys: str) -> RecordStatus:
    nodes = {node: NodeReport(state=PowerState.RUNNING, host_key=key) for node, key in keys.items()}
    nothing = RecordStatus.of_nothing_seen(CLUSTER, host, datetime.now(UTC))
    return nothing.model_copy(update={"nodes": nodes})


def test_a_nodes_key_is_what_its_host_said_last_also_if_that_is_lost() -> None:
    spec = spec_over({"alpha": "", "beta": "two", "gamma": "three"})
    record = running_record("alpha", "beta", "gamma").model_copy(update={"spec": spec})
    words = {"one": word("one", alpha="a", beta="as it was here"), "two": word("two", beta="b", gamma="")}
    hosts = HostWords(words, lost={"two": None}, home="one")
    assert dict(_keys_in(record, hosts)) == {"alpha": "a", "beta": "b"}
