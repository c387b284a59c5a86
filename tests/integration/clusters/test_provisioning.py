"""Nodes with `user_data`: cloud-init is waited for, its failures are told, and what it has not done yet too."""

from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import OperationTimeout, ProvisioningFailed
from reconciler.model.choices import StopMode
from reconciler.model.results import ClusterStatus
from reconciler.model.status import ConditionType
from reconciler.usecases.wait_for_condition import wait_for_condition
from tests.integration.bed import Bed, Session
from tests.waiting import BOOT_TIMEOUT_S, eventually

CLUSTER = "provisioned"
USER_DATA = {
    "n0": {"runcmd": ["until [ -e /go ]; do sleep 0.2; done"]},
    "n1": {"runcmd": ["echo no luck", "false"]},
    "n2": {"packages": ["no-such-package"]},
}


def with_user_data(document: dict[str, Any]) -> None:
    for node in document["nodes"]:
        node["user_data"] = USER_DATA[node["name"]]


def provisioned(status: ClusterStatus) -> dict[str, str]:
    """The condition of each node, and of the cluster as that of no node."""
    found = {node.name: node.conditions for node in status.nodes} | {"": status.conditions}
    told = {name: next(of for of in all_ if of.type is ConditionType.PROVISIONED) for name, all_ in found.items()}
    return {name: f"{of.status.value}:{of.reason}" for name, of in told.items()}


async def test_user_data_is_waited_for_and_what_became_of_it_is_told(bed: Bed, session: Session) -> None:
    bed.write_topology(CLUSTER, nodes=3, boots=True, edit=with_user_data)
    with pytest.raises(ProvisioningFailed, match=r"cloud-init failed on .*n[12]: .*") as failure:
        await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)
    assert failure.value.code is ErrorCode.PROVISIONING_FAILED
    assert "/var/log/cloud-init-output.log" in str(failure.value)
    assert all(node.ssh_reachable for node in failure.value.partial.nodes)

    async def both_have_failed() -> bool:
        told = provisioned(await session.inspection.status(CLUSTER))
        return told["n1"] == told["n2"] == "False:CloudInitFailed"

    await eventually(both_have_failed, timeout_s=BOOT_TIMEOUT_S)
    status = await session.inspection.status(CLUSTER)
    assert provisioned(status) == {
        "n0": "False:CloudInitRunning",
        "n1": "False:CloudInitFailed",
        "n2": "False:CloudInitFailed",
        "": "False:CloudInitFailed",
    }
    told = next(of for of in status.conditions if of.type is ConditionType.PROVISIONED).message
    assert "runcmd" in told
    assert "no-such-package" in told or "package" in told
    again = await session.inspection.status(CLUSTER)
    without_message = {"message"}  # n0 goes through its stages
    assert [of.model_dump(exclude=without_message) for of in again.conditions] == [
        of.model_dump(exclude=without_message) for of in status.conditions
    ]

    taken = await session.snapshots.create(CLUSTER, "early")
    assert [warning.split()[0] for warning in taken.warnings] == ["n0", "n1", "n2"]
    with pytest.raises(OperationTimeout, match="n0: cloud-init still runs"):
        await session.clusters.start(CLUSTER, nodes=["n0"], ssh_timeout_s=3.0)
    with pytest.raises(ProvisioningFailed, match="n1"):
        await wait_for_condition(session.runtime, CLUSTER, "condition=Provisioned", timeout_s=BOOT_TIMEOUT_S)

    await session.clusters.stop(CLUSTER, nodes=["n1", "n2"], mode=StopMode.DESTROY)
    await session.nodes.run(CLUSTER, "n0", "touch /go", timeout_s=BOOT_TIMEOUT_S)
    held = await wait_for_condition(session.runtime, CLUSTER, "Provisioned", timeout_s=BOOT_TIMEOUT_S)
    assert held is not None
    status = await session.clusters.start(CLUSTER, nodes=["n0"], ssh_timeout_s=BOOT_TIMEOUT_S)
    assert provisioned(status) == {
        "n0": "True:CloudInitDone",
        "n1": "Unknown:NotRunning",
        "n2": "Unknown:NotRunning",
        "": "True:AllProvisioned",
    }
    assert (await session.snapshots.create(CLUSTER, "late")).warnings == ()
