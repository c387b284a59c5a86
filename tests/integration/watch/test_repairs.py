"""`vmcluster watch` on a real libvirtd: what is damaged by hand is repaired without a command."""

import asyncio
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from reconciler.model.event import Cause
from tests.integration.bed import Audit, Bed, Session, audit, host_libvirt
from tests.integration.clusters.test_kills import CLUSTER, define, destroy, start, stop
from tests.integration.kills import Verb, run
from tests.integration.watch.conftest import WatchProcess, watching
from tests.waiting import wait_until

Damage = Callable[[Any], None]

NETWORK = f"net-{CLUSTER}"


def domain(handle: Any, node: str = "n0") -> Any:
    return handle.lookupByName(f"{CLUSTER}.{node}")


def undefine_and_destroy(handle: Any) -> None:
    of = domain(handle)
    of.undefine()
    of.destroy()


def alter(handle: Any) -> None:
    xml = domain(handle).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    handle.defineXML(xml.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"))


def unplug(_handle: Any) -> None:
    taps = subprocess.run(["ip", "-o", "link", "show", "type", "tun"], capture_output=True, text=True, check=True)
    name = taps.stdout.split(":")[1].strip()
    subprocess.run(["ip", "link", "set", name, "nomaster"], check=True)


DAMAGES: dict[str, Damage] = {
    "a domain's power is cut": lambda handle: domain(handle).destroy(),
    "a domain is undefined while it runs": lambda handle: domain(handle).undefine(),
    "a domain is destroyed and undefined": undefine_and_destroy,
    "a domain's definition is altered": alter,
    "the network is stopped": lambda handle: handle.networkLookupByName(NETWORK).destroy(),
    "a node's tap is unplugged": unplug,
}


def whole(bed: Bed, expected: Audit) -> bool:
    """Whether the host has exactly what it had, all nodes up."""
    found = audit(bed)
    if (found.domains, found.networks, found.active) != (expected.domains, expected.networks, expected.active):
        return False
    with host_libvirt() as handle:
        return all(
            "<vcpu placement='static'>1<" in of.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            for of in handle.listAllDomains()
        )


@pytest.fixture
def expected(bed: Bed) -> Audit:
    bed.write_topology(CLUSTER)
    run(bed, define, start)
    return audit(bed)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_repaired_without_a_command(bed: Bed, expected: Audit, watch: WatchProcess, damage: Damage) -> None:
    with host_libvirt() as handle:
        damage(handle)
    wait_until(lambda: bool(watch.logged("action")))
    wait_until(lambda: whole(bed, expected))


def test_commands_of_other_processes_only_say_what_is_desired(bed: Bed, expected: Audit, watch: WatchProcess) -> None:
    run(bed, stop, start)
    assert whole(bed, expected)
    assert {entry["action"] for entry in watch.logged("action")} >= {"CutPower", "Start"}
    run(bed, destroy)
    assert audit(bed).clean


def test_it_ends_cleanly_when_told_to(bed: Bed, expected: Audit, watch: WatchProcess) -> None:
    assert expected.active
    assert watch.end(signal.SIGTERM) == 0
    assert watch.logged("ended")
    with host_libvirt() as handle:
        domain(handle).destroy()
    run(bed, start)  # by itself, as nobody holds the lease
    assert whole(bed, expected)


def test_what_was_damaged_while_it_was_killed_is_repaired_by_the_next_one(bed: Bed, expected: Audit) -> None:
    with watching(bed) as first:
        first.end(signal.SIGKILL)
    with host_libvirt() as handle:
        undefine_and_destroy(handle)
    with watching(bed):
        wait_until(lambda: whole(bed, expected))


def conditions(bed: Bed) -> dict[str, str]:
    """What the controller says: the status of each condition, with its reason."""
    said: dict[str, str] = {}

    async def read(session: Session) -> None:
        status = await session.runtime.store.status(CLUSTER)
        assert status is not None
        said.update({of.type.value: f"{of.status.value}:{of.reason}" for of in status.conditions})

    asyncio.run(in_session(bed, read))
    return said


async def in_session(bed: Bed, verb: Verb) -> None:
    async with bed.runtime() as runtime:
        await verb(Session(runtime))


def test_drift_that_is_only_reported_is_left_alone_until_somebody_asks(bed: Bed) -> None:
    bed.write_topology(CLUSTER, edit=lambda document: document.update(drift={"power": "report"}))
    run(bed, define, start)
    expected = audit(bed)
    with watching(bed) as service, host_libvirt() as handle:
        domain(handle).destroy()
        wait_until(lambda: conditions(bed)["Drifted"] == "True:Reported")
        assert conditions(bed)["Ready"] == "False:Drifted", service.log.read_text()
        assert not service.logged("action")
        domain(handle, "n1").undefine()  # its definition is of another kind
        wait_until(lambda: bool(service.logged("action")))
        assert {entry["action"] for entry in service.logged("action")} == {"DefineDomain"}
        run(bed, start)
        assert audit(bed).active == expected.active
        wait_until(lambda: conditions(bed)["Drifted"] == "False:AsWanted")


def test_a_repair_is_kept_as_an_event_with_its_cause(bed: Bed, expected: Audit, watch: WatchProcess) -> None:
    async def causes(session: Session) -> None:
        events = await session.runtime.store.events(CLUSTER)
        assert {event.cause for event in events if event.subject == "DefineDomain"} == {Cause.CHANGE}
        repairs = [(event.node, event.subject, event.cause) for event in events if event.kind == "DriftRepaired"]
        assert repairs == [("n0", "Start", Cause.DRIFT)]

    with host_libvirt() as handle:
        domain(handle).destroy()
    wait_until(lambda: bool(watch.logged("action")))
    wait_until(lambda: whole(bed, expected))
    asyncio.run(in_session(bed, causes))
