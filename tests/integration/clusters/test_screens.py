"""Nodes with a screen: what a machine draws is on the picture, and a node without one is told how to get one."""

from typing import Any

import pytest

from reconciler.error_codes import ErrorCode
from reconciler.errors import ClusterError
from reconciler.model.choices import StopMode
from reconciler.usecases.screens import screenshot_of
from tests.integration.bed import Bed, Session
from tests.integration.snapshots.films import small_nodes
from tests.unit.drawing.test_screen_image import pixels_of
from tests.waiting import eventually

CLUSTER = "screens"
PAINTS_RED = bytes.fromhex("b81300cd10 b800a0 8ec0 31ff b004 b900fa f3aa f4 ebfd")
"""mov ax, 0x13; int 0x10 (320 by 200 pixels); es:di = a000:0; al = 4 (red); 64000 times stosb; hlt forever"""

RED = 0x2A << 2
"""Color 4 of the palette of that mode, in 6 bits, as QEMU shows it."""


async def test_a_picture_shows_what_a_machine_draws(bed: Bed, session: Session) -> None:
    with_screens, image = ["n0"], str(bed.sector_image(PAINTS_RED))

    def edit(document: dict[str, Any]) -> None:
        small_nodes(document)
        document["virt_type"] = "qemu"
        document["base_image"] = image
        for node in document["nodes"]:
            node["video"] = node["name"] in with_screens

    async def is_red(node: str) -> bool:
        taken = await screenshot_of(session.runtime, CLUSTER, node)
        picture = pixels_of(taken.png)
        assert (taken.width, taken.height) == (picture.width, picture.height)
        seen = set(zip(*[iter(picture.content)] * 3, strict=True))
        return seen == {(RED, 0, 0)}

    bed.write_topology(CLUSTER, edit=edit)
    await session.clusters.define(CLUSTER)
    with pytest.raises(ClusterError) as refused:
        await screenshot_of(session.runtime, CLUSTER, "n0")
    assert refused.value.code is ErrorCode.CLUSTER_NOT_RUNNING
    await session.clusters.start(CLUSTER, wait_for_ssh=False)
    await eventually(lambda: is_red("n0"))
    assert (await session.clusters.plan(CLUSTER)).plan.converged
    with pytest.raises(ClusterError, match=r"`video: true`") as refused:
        await screenshot_of(session.runtime, CLUSTER, "n1")
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT

    with_screens.append("n1")
    bed.write_topology(CLUSTER, edit=edit)
    with pytest.raises(ClusterError, match="restart"):
        await session.clusters.apply(CLUSTER, wait_for_ssh=False)
    await session.clusters.stop(CLUSTER, mode=StopMode.DESTROY, nodes=["n1"])
    await session.clusters.apply(CLUSTER, start=True, wait_for_ssh=False)
    await eventually(lambda: is_red("n1"))
    assert (await session.clusters.plan(CLUSTER)).plan.converged
