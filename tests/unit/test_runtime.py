"""What a process opens for itself, and when."""

from pathlib import Path

import pytest

from reconciler.host import virt_type
from reconciler.host.virt_type import KvmVerdict
from reconciler.model.topology import VirtType
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from tests.simulation.worlds import running_record


async def test_kvm_is_tried_once_and_only_for_a_cluster_that_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    async def probe(state_dir: Path) -> KvmVerdict:
        tried.append(state_dir)
        return KvmVerdict(usable=True, reason="fast")

    monkeypatch.setattr(virt_type, "probe_kvm", probe)
    undecided = running_record("alpha")
    nodes = {name: node.model_copy(update={"virt_type": VirtType.QEMU}) for name, node in undecided.spec.nodes.items()}
    emulated = undecided.model_copy(update={"spec": undecided.spec.model_copy(update={"nodes": nodes})})
    async with Runtime(Settings(state_dir=tmp_path, libvirt_uri="qemu+unix:///system?socket=/nonexistent")) as runtime:
        assert not (await runtime._host_facts(emulated)).kvm_usable
        assert tried == []
        assert (await runtime._host_facts(undecided)).kvm_usable
        assert (await runtime._host_facts(undecided)).kvm_usable
        assert tried == [tmp_path]
