"""Nodes that run and take no login: what is said of one that is silent, and of one that is not."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.health import no_login
from reconciler.model.choices import StopMode
from reconciler.model.document import Unknown
from reconciler.model.life_signs import LifeSigns
from reconciler.model.names import console_path
from reconciler.observe.liveness import observe_life_signs
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import small_nodes

CLUSTER = "quiet"
SAYS_X = bytes.fromhex("baf803 b078 ee f4 ebfd")  # mov dx, 0x3f8 (COM1); mov al, 'x'; out dx, al; hlt forever
SILENT = "no sign of life since its start"
THRESHOLD_S = 1.0


@pytest.fixture
async def booted(bed: Bed, session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Two nodes: n0 stays in its firmware, which says nothing; n1 writes one byte to its console."""
    monkeypatch.setattr(no_login, "SILENT_AFTER_S", THRESHOLD_S)

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["virt_type"] = "qemu"
        document["nodes"][1]["base_image"] = str(bed.sector_image(SAYS_X))

    bed.write_topology(CLUSTER, edit=edit)
    await session.clusters.define(CLUSTER)
    await session.clusters.start(CLUSTER, wait_for_ssh=False)
    return session


async def seen(session: Session, node: str, holds: Callable[[LifeSigns], bool]) -> LifeSigns:
    """The node's signs of life once they are so."""
    record = await session.runtime.store.get(CLUSTER)
    assert record is not None
    while True:
        signs = await observe_life_signs(record, node)
        assert not isinstance(signs, Unknown), signs
        if holds(signs):
            return signs
        await asyncio.sleep(0.1)


async def test_a_node_that_says_nothing_is_said_to_be_without_a_sign_of_life(booted: Session) -> None:
    signs = await seen(booted, "n0", lambda signs: signs.age_s > THRESHOLD_S)
    assert (signs.console_idle_s, signs.restored, signs.packets) == (None, False, 0)
    await seen(booted, "n1", lambda signs: signs.console_idle_s is not None)
    n0, n1 = (await booted.inspection.status(CLUSTER)).nodes
    assert (n0.domain_state, n0.ssh_reachable) == ("running", False)
    assert SILENT in (n0.message or "")
    assert "`base_image`" in (n0.message or "")
    assert "KVM" not in (n0.message or "")
    assert [of.reason for of in n0.conditions] == ["NoSignOfLife", "NotObserved"]
    assert n0.conditions[0].last_transition == signs.started_at
    assert n1.message is None
    assert [of.reason for of in n1.conditions] == ["NotObserved", "NotObserved"]


async def test_a_login_that_does_not_come_says_which_node_is_silent_and_which_has_written(booted: Session) -> None:
    await seen(booted, "n0", lambda signs: signs.age_s > THRESHOLD_S)
    await seen(booted, "n1", lambda signs: signs.console_idle_s is not None)
    with pytest.raises(ClusterError) as caught:
        await booted.clusters.start(CLUSTER, ssh_timeout_s=0.5)
    assert caught.value.code is ErrorCode.SSH_TIMEOUT
    of_n0, of_n1 = str(caught.value).split("n1: no SSH login", 1)
    assert SILENT in of_n0
    assert "its console was last written to " in of_n1
    with pytest.raises(ClusterError, match=SILENT):
        await booted.nodes.run(CLUSTER, "n0", "true", timeout_s=0.5)
    answers = await booted.nodes.run_all(CLUSTER, "true", require_all=False, timeout_s=0.5)
    assert SILENT in answers.errors["n0"].message


async def test_what_an_earlier_run_wrote_to_the_console_is_no_sign_of_life(booted: Session) -> None:
    record = await booted.runtime.store.get(CLUSTER)
    assert record is not None
    await booted.clusters.stop(CLUSTER, mode=StopMode.DESTROY)
    log = console_path(record.spec.overlay_dir, CLUSTER, "n0")
    with log.open("ab") as console:
        console.write(b"[    0.000000] Linux version 6.1\r\n[    1.0] Kernel panic - not syncing: earlier\r\n")
        os.fsync(console.fileno())
    await booted.clusters.start(CLUSTER, wait_for_ssh=False)
    await seen(booted, "n0", lambda signs: signs.age_s > THRESHOLD_S)
    status = (await booted.inspection.status(CLUSTER)).nodes[0]
    assert SILENT in (status.message or "")
    assert status.first_bad_event is None


async def test_a_node_that_goes_on_from_memory_is_counted_from_there(booted: Session) -> None:
    await seen(booted, "n1", lambda signs: signs.console_idle_s is not None)
    await booted.snapshots.create(CLUSTER, "before", include_memory=True)
    await booted.snapshots.revert(CLUSTER, "before", wait=False)
    signs = await seen(booted, "n1", lambda signs: signs.age_s > THRESHOLD_S)
    assert (signs.restored, signs.console_idle_s) == (True, None)
    status = (await booted.inspection.status(CLUSTER)).nodes[1]
    assert "no sign of life since its memory was restored" in (status.message or "")
