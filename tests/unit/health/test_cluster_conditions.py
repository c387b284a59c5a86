"""The conditions of a cluster with what its guests say."""

from datetime import timedelta

import pytest

from reconciler.health.cluster_conditions import with_guests
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from tests.simulation.worlds import NOW


def condition(kind: ConditionType, status: str, reason: str, minutes: int) -> Condition:
    since = NOW + timedelta(minutes=minutes)
    return Condition(type=kind, status=ConditionStatus(status), reason=reason, message=reason, last_transition=since)


@pytest.mark.parametrize(
    ("ready", "kernels", "told", "minutes"),
    [
        (("True", "AsWanted", 1), ("False", "Oops", 5), "False KernelUnhealthy Oops", 5),
        (("True", "AsWanted", 9), ("False", "Oops", 5), "False KernelUnhealthy Oops", 9),
        (("True", "AsWanted", 1), ("True", "NothingReported", 7), "True AsWanted AsWanted", 7),
        (("True", "AsWanted", 1), ("Unknown", "NotRunning", 7), "True AsWanted AsWanted", 1),
        (("False", "Drifted", 3), ("False", "Oops", 5), "False Drifted Drifted", 3),
    ],
)
def test_a_cluster_is_not_ready_while_a_kernel_of_it_is_sick(
    ready: tuple[str, str, int], kernels: tuple[str, str, int], told: str, minutes: int
) -> None:
    of_host = (condition(ConditionType.RUNNING, "True", "AllRunning", 0), condition(ConditionType.READY, *ready))
    of_guests = (condition(ConditionType.KERNEL_HEALTHY, *kernels),)
    running, found, kernel = with_guests(of_host, of_guests)
    assert (running, kernel) == (of_host[0], of_guests[0])
    assert f"{found.status} {found.reason} {found.message}" == told
    assert (found.type, found.last_transition) == (ConditionType.READY, NOW + timedelta(minutes=minutes))
    assert with_guests(of_host, ()) == of_host
