"""Artifacts on nodes: two installations on one node come one after the other."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from reconciler.artifacts.library import Library
from reconciler.errors import OperationTimeout
from reconciler.guest.address import GuestAddress
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.usecases import deployment
from reconciler.usecases.build_trees import Artifacts
from reconciler.usecases.deployment import Deployment
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.samples import sample_record

Step = Callable[[Deployment, str], Awaitable[object]]
STEPS: dict[str, Step] = {
    "install": lambda of, artifact: of.install("lab", artifact, nodes="alpha", timeout_s=0.1),
    "uninstall": lambda of, _: of.uninstall("lab", nodes="alpha", timeout_s=0.1),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_node_that_another_works_on_is_waited_for(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        state_dir=tmp_path / "state",
        artifact_store_dir=tmp_path / "trees",
        artifact_registry=tmp_path / "registry.json",
        libvirt_uri=silent_libvirt(tmp_path),
    )
    alpha = GuestAddress(cluster="lab", node="alpha", host="::1", user="root", key_path=tmp_path, host_key="")

    async def addresses(*_: object) -> list[GuestAddress]:
        return [alpha]

    monkeypatch.setattr(deployment, "addresses", addresses)
    async with Runtime(settings) as runtime:
        await runtime.store.put(sample_record(), expected_generation=0, actor="test")
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "m.ko").write_bytes(b"module")
        artifact = (await Artifacts(runtime).register(str(tree))).artifact_id
        library = Library(runtime.settings.artifact_store_dir, runtime.settings.artifact_registry)
        async with library.alone_on("lab", ["zeta", "alpha"], timeout_s=1):
            with pytest.raises(OperationTimeout, match=r"lab\.alpha"):
                await STEPS[step](Deployment(runtime), artifact)
