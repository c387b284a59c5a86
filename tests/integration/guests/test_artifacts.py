"""From a build tree to a verdict on real machines: a module of our own, built for their kernel, does real harm."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ArtifactNotSynced, Conflict, InvalidArgument, PartialFailure
from reconciler.model.choices import BuildType, InstallMode
from reconciler.model.kernel_log import DmesgResult, LogSource
from reconciler.model.results import BuildArtifact, NodeSync
from tests.guest_kernel.fetch import RPM
from tests.guest_kernel.workshop import MODULE, Workshop
from tests.integration.bed import BASE_IMAGE, Session
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.guests.conftest import NODES, provoked
from tests.waiting import BOOT_TIMEOUT_S, eventually

PROVOKE = f"/sys/module/{MODULE}/parameters/provoke"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One build tree for the run: what a test needs is rebuilt in it."""
    return Workshop.opened(BASE_IMAGE.parent, tmp_path_factory.mktemp("work") / MODULE)


async def run(session: Session, command: str, *nodes: str) -> dict[str, str]:
    """Run it on these nodes, or on all; it must not fail."""
    answers = await session.nodes.run_all(CLUSTER, command, nodes=nodes or NODES, timeout_s=60)
    assert answers.all_succeeded, answers
    return {node: answer.stdout.strip() for node, answer in answers.results.items()}


async def registered(session: Session, tree: Workshop, edition: str) -> BuildArtifact:
    await asyncio.to_thread(tree.build, edition)
    return await session.artifacts.register(str(tree.tree))


async def deployed(session: Session, artifact: BuildArtifact) -> dict[str, NodeSync]:
    """Sync and install it everywhere."""
    began = time.monotonic()
    synced = await session.deployment.sync(CLUSTER, artifact.artifact_id)
    between = time.monotonic()
    await session.deployment.install(CLUSTER, artifact.artifact_id)
    print(f"sync {between - began:.2f} s, install {time.monotonic() - between:.2f} s")
    return synced.per_node


async def installed(session: Session) -> dict[str, str | None]:
    status = await session.inspection.status(CLUSTER)
    return {node.name: node.artifact_id_installed for node in status.nodes}


async def kernel_reasons(session: Session) -> dict[str, str]:
    began = time.monotonic()
    status = await session.inspection.status(CLUSTER)
    print(f"status {time.monotonic() - began:.2f} s")
    return {node.name: node.conditions[0].reason for node in status.nodes}


async def said(session: Session, marker: str) -> dict[str, list[str]]:
    collected = await session.kernel_logs.collect(CLUSTER, since_marker=marker)
    return {node: [line.text for line in result.lines] for node, result in collected.items()}


async def collected_when(
    session: Session, marker: str, holds: Callable[[dict[str, DmesgResult]], bool]
) -> dict[str, DmesgResult]:
    collected: dict[str, DmesgResult] = {}

    async def came() -> bool:
        collected.update(await session.kernel_logs.collect(CLUSTER, since_marker=marker, timeout_s=20))
        return holds(collected)

    await eventually(came)
    return collected


def kinds(result: DmesgResult) -> set[str]:
    return {event.kind for event in result.events}


async def test_a_module_goes_from_its_build_tree_to_all_nodes_and_back(trio: Session, tree: Workshop) -> None:
    first = await registered(trio, tree, "first")
    assert (first.modules, first.kernel_version) == ((f"{MODULE}.ko",), tree.release)
    await deployed(trio, first)
    await run(trio, f"modprobe {MODULE}")
    status = await trio.inspection.status(CLUSTER)
    assert {node.artifact_id_installed for node in status.nodes} == {first.artifact_id}
    assert all(MODULE in node.loaded_modules for node in status.nodes)

    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    await run(trio, f"echo say >{PROVOKE}; echo say >{PROVOKE}")
    assert await said(trio, marker) == dict.fromkeys(NODES, [f"{MODULE}: the first edition was asked"] * 2)
    await trio.snapshots.create(CLUSTER, "with-first", include_memory=True)
    # What distributions' tools install comes before the kernel's own, but not before ours.
    rival = f"/lib/modules/{tree.release}/updates"
    await run(trio, f"mkdir -p {rival}; cp /lib/modules/*/extra/vmcluster/{MODULE}.ko {rival}; depmod")

    second = await registered(trio, tree, "second")
    assert (await trio.artifacts.diff(first.artifact_id, second.artifact_id)).changed_modules == (f"{MODULE}.ko",)
    synced = await deployed(trio, second)
    for node in synced.values():
        print(f"{node.bytes_transferred} bytes sent for a module of {tree.module.stat().st_size}")
        assert node.basis == first.artifact_id
        assert node.bytes_transferred <= tree.module.stat().st_size / 5
    places = await run(trio, f"modinfo -n {MODULE}")
    assert places == dict.fromkeys(NODES, f"/lib/modules/{tree.release}/extra/vmcluster/{MODULE}.ko")
    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    await run(trio, f"rmmod {MODULE} && modprobe {MODULE}")
    words = [f"{MODULE}: the first edition is gone", f"{MODULE}: the second edition is here"]
    assert await said(trio, marker) == dict.fromkeys(NODES, words)
    assert await installed(trio) == dict.fromkeys(NODES, second.artifact_id)

    await trio.snapshots.revert(CLUSTER, "with-first", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await installed(trio) == dict.fromkeys(NODES, first.artifact_id)
    assert await run(trio, f"cat /sys/module/{MODULE}/version") == dict.fromkeys(NODES, "first")


async def test_what_a_module_does_to_a_kernel_is_told_of_the_right_node(trio: Session, tree: Workshop) -> None:
    artifact = await registered(trio, tree, "first")
    await trio.deployment.sync(CLUSTER, artifact.artifact_id)
    await trio.deployment.install(CLUSTER, artifact.artifact_id, nodes=["n0"])
    await run(trio, f"modprobe {MODULE}", "n0")
    await run(trio, f"insmod /opt/vmcluster/artifacts/{artifact.artifact_id}/{MODULE}.ko", "n1", "n2")
    await run(trio, "sysctl -q kernel.hung_task_timeout_secs=2 kernel.panic=0")
    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    trouble = {"n0": "warn", "n1": "oops", "n2": "hang"}
    await asyncio.gather(*(run(trio, f"echo {what} >{PROVOKE}", node) for node, what in trouble.items()))
    collected = await collected_when(trio, marker, lambda results: all(map(kinds, results.values())))
    assert {node: kinds(result) for node, result in collected.items()} == {
        "n0": {"warn"},
        "n1": {"null_pointer"},
        "n2": {"hung_task"},
    }
    assert f"{MODULE} was told to warn" in " ".join(line.text for line in collected["n0"].lines)
    assert collected["n1"].oops_detected
    assert f"{MODULE}_hang" in collected["n2"].events[0].summary
    assert any("provoke_hang" in line for line in collected["n2"].events[0].lines)

    await run(trio, f"echo panic >{PROVOKE}", "n0")
    collected = await collected_when(trio, marker, lambda results: "panic" in kinds(results["n0"]))
    assert collected["n0"].source is LogSource.CONSOLE
    assert kinds(collected["n0"]) == {"warn", "panic"}
    assert [collected[node].panic_detected for node in ("n1", "n2")] == [False, False]
    await trio.clusters.crash(CLUSTER, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert (await installed(trio))["n0"] == artifact.artifact_id
    assert await run(trio, f"modprobe {MODULE} && cat /sys/module/{MODULE}/version", "n0") == {"n0": "first"}


async def test_trouble_that_taints_no_kernel_is_in_the_next_status(trio: Session, tree: Workshop) -> None:
    """Though every log was read a moment ago and was clean: the console tells."""
    artifact = await registered(trio, tree, "first")
    await trio.deployment.sync(CLUSTER, artifact.artifact_id)
    await run(trio, f"insmod /opt/vmcluster/artifacts/{artifact.artifact_id}/{MODULE}.ko")
    await run(trio, "sysctl -q kernel.hung_task_timeout_secs=2")
    taints = await run(trio, "cat /proc/sys/kernel/tainted")
    assert await kernel_reasons(trio) == dict.fromkeys(NODES, "NothingReported")
    for node in NODES:
        assert trio.runtime.clean_kernels.has(await trio.nodes.address(CLUSTER, node))

    await run(trio, "echo '<2>INFO: task nobody:1 blocked for more than 1 seconds' >/dev/kmsg", "n0")
    await provoked(trio, "n1", f"echo hang >{PROVOKE}", "blocked for more than")
    assert await kernel_reasons(trio) == {"n0": "NothingReported", "n1": "HungTask", "n2": "NothingReported"}
    assert await run(trio, "cat /proc/sys/kernel/tainted") == taints


async def test_a_transfer_that_breaks_is_told_per_node_and_repeated_to_success(trio: Session, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(content := os.urandom(24_000_000))
    artifact = await trio.artifacts.register(str(tmp_path))
    base = "/small"
    await run(trio, f"mkdir {base}")
    await run(trio, f"mount -t tmpfs -o size=8m none {base}", "n1")
    work = asyncio.create_task(trio.deployment.sync(CLUSTER, artifact.artifact_id, dest_base=base))
    try:
        arriving = f"until ls -A {base}/{artifact.artifact_id}/.blob.*; do sleep 0.1; done"
        await run(trio, f"{arriving}; pkill -KILL rsync", "n0")
        await run(trio, arriving, "n2")
        await trio.clusters.crash(CLUSTER, "n2", ssh_timeout_s=BOOT_TIMEOUT_S)
        with pytest.raises(PartialFailure, match="on 3 of 3 nodes") as caught:
            await work
    finally:
        work.cancel()
    per_node = caught.value.partial.per_node
    assert {of.error.node for of in per_node.values()} == set(NODES)
    assert all(of.rsync_exit_code not in (0, None) for of in per_node.values())
    assert "No space left on device" in per_node["n1"].error.message
    assert await run(trio, f"ls {base}/.complete") == dict.fromkeys(NODES, "")
    with pytest.raises(ArtifactNotSynced, match="n0, n1, n2"):
        await trio.deployment.install(
            CLUSTER, artifact.artifact_id, dest_base=base, install_mode=InstallMode.MAKE_INSTALL
        )

    await run(trio, f"umount {base}", "n1")
    await trio.deployment.sync(CLUSTER, artifact.artifact_id, dest_base=base)
    sums = await run(trio, f"sha256sum <{base}/{artifact.artifact_id}/blob; ls -A {base}/{artifact.artifact_id}")
    (there,) = set(sums.values())
    assert there == f"{hashlib.sha256(content).hexdigest()}  -\nblob"


async def test_packages_and_make_install_are_installed_and_taken_out(
    trio: Session, tree: Workshop, tmp_path: Path
) -> None:
    deployment = trio.deployment
    place = f"/lib/modules/{tree.release}/extra/{MODULE}.ko"
    plain = await registered(trio, tree, "first")
    deb = await trio.artifacts.register(str(debian_package(tree, tmp_path, place)), BuildType.DEB)
    for artifact in (plain, deb):
        await deployment.sync(CLUSTER, artifact.artifact_id)

    status = await deployment.install(CLUSTER, deb.artifact_id, nodes=["n0"], install_mode=InstallMode.DEB)
    assert status.per_node["n0"].installed_module_paths == (place,)
    assert await run(trio, f"modinfo -F version {MODULE}; {MODULE}-tool", "n0") == {"n0": "first\ntool"}
    with pytest.raises(Conflict, match=rf"on node n0 artifact {deb.artifact_id} is installed with mode deb"):
        await deployment.install(CLUSTER, plain.artifact_id)
    assert await installed(trio) == {"n0": deb.artifact_id, "n1": None, "n2": None}
    await deployment.uninstall(CLUSTER, nodes=["n0"])
    assert await run(trio, f"! modinfo {MODULE} 2>/dev/null; ! command -v {MODULE}-tool", "n0") == {"n0": ""}
    assert await installed(trio) == dict.fromkeys(NODES, None)

    with pytest.raises(InvalidArgument, match="node n2 has no `make`"):
        await deployment.install(CLUSTER, plain.artifact_id, nodes=["n2"], install_mode=InstallMode.MAKE_INSTALL)
    assert await installed(trio) == dict.fromkeys(NODES, None)
    await trio.transfers.push(CLUSTER, tree.package("make"), "/root/make.deb", nodes=["n2"])
    await run(trio, "dpkg -i /root/make.deb", "n2")
    status = await deployment.install(CLUSTER, plain.artifact_id, nodes=["n2"], install_mode=InstallMode.MAKE_INSTALL)
    assert status.per_node["n2"].installed_module_paths == (place,)
    assert await run(trio, f"modinfo -F version {MODULE}", "n2") == {"n2": "first"}
    await deployment.uninstall(CLUSTER, nodes=["n2"])
    assert await run(trio, f"! modinfo {MODULE} 2>&1", "n2")


async def test_an_rpm_package_is_installed_and_taken_out_by_rpm(trio: Session, tree: Workshop, tmp_path: Path) -> None:
    place = f"/lib/modules/{tree.release}/extra/{MODULE}.ko"
    await asyncio.to_thread(tree.build, "first")
    made = await asyncio.to_thread(rpm_package, tree, tmp_path, place)
    artifact = await trio.artifacts.register(str(made), BuildType.RPM)
    await trio.deployment.sync(CLUSTER, artifact.artifact_id, nodes=["n0", "n1"])
    with pytest.raises(InvalidArgument, match="node n1 has no `rpm`"):
        await trio.deployment.install(CLUSTER, artifact.artifact_id, nodes=["n1"], install_mode=InstallMode.RPM)

    (tmp_path / "rpm").mkdir()
    for name in RPM:
        shutil.copy(tree.package(name), tmp_path / "rpm" / f"{name}.deb")
    await trio.transfers.push(CLUSTER, tmp_path / "rpm", "/root/rpm", nodes=["n0"])
    # What else Debian's package depends on is for those who build packages. Unpacked it runs.
    await run(trio, "dpkg --force-depends --unpack /root/rpm/*.deb && ldconfig && rpm --initdb", "n0")
    status = await trio.deployment.install(CLUSTER, artifact.artifact_id, nodes=["n0"], install_mode=InstallMode.RPM)
    assert status.per_node["n0"].installed_module_paths == (place,)
    assert await run(trio, f"rpm -q {MODULE}; {MODULE}-tool; modinfo -F version {MODULE}", "n0") == {
        "n0": f"{MODULE}-1-1.x86_64\ntool\nfirst"
    }
    assert await installed(trio) == {"n0": artifact.artifact_id, "n1": None, "n2": None}
    await trio.deployment.uninstall(CLUSTER, nodes=["n0"])
    assert await run(trio, f"! rpm -q {MODULE}; ! modinfo {MODULE} 2>/dev/null; ! command -v {MODULE}-tool", "n0") == {
        "n0": f"package {MODULE} is not installed"
    }
    assert await installed(trio) == dict.fromkeys(NODES, None)


async def test_an_installation_that_is_interrupted_counts_as_none_and_can_be_undone_or_repeated(
    trio: Session, tree: Workshop, tmp_path: Path
) -> None:
    artifact = await registered(trio, tree, "first")
    await trio.deployment.sync(CLUSTER, artifact.artifact_id)
    stuck = "printf '#!/bin/sh\\nexec sleep 600\\n' >/usr/local/sbin/depmod; chmod +x /usr/local/sbin/depmod"
    await run(trio, stuck, "n0", "n1")
    with pytest.raises(PartialFailure, match=r"on 2 of 2 nodes.*timed out"):
        await trio.deployment.install(CLUSTER, artifact.artifact_id, nodes=["n0", "n1"], timeout_s=6)
    assert await run(trio, "ls /lib/modules/*/extra/vmcluster", "n0", "n1") == dict.fromkeys(
        ["n0", "n1"], f"{MODULE}.ko"
    )
    assert await installed(trio) == dict.fromkeys(NODES, None)
    await run(trio, "rm /usr/local/sbin/depmod", "n0", "n1")
    await trio.deployment.uninstall(CLUSTER, nodes=["n0"])
    await run(trio, f"! modinfo {MODULE} 2>&1 && ! ls -d /lib/modules/*/extra/vmcluster", "n0")
    await trio.deployment.install(CLUSTER, artifact.artifact_id, nodes=["n1"])
    assert await installed(trio) == {"n0": None, "n1": artifact.artifact_id, "n2": None}

    other = tmp_path / "other"
    other.mkdir()
    magic = tree.module.read_bytes().replace(b"vermagic=6.1", b"vermagic=6.0")
    (other / f"{MODULE}.ko").write_bytes(magic)
    foreign = await trio.artifacts.register(str(other))
    await trio.deployment.sync(CLUSTER, foreign.artifact_id)
    with pytest.raises(InvalidArgument, match=rf"is for kernel '6\.0.*runs '{tree.release} "):
        await trio.deployment.install(CLUSTER, foreign.artifact_id)
    assert (await installed(trio))["n1"] == artifact.artifact_id


def debian_package(tree: Workshop, tmp_path: Path, place: str) -> Path:
    """A directory with a package of the module and a tool."""
    root, made = tmp_path / "root", tmp_path / "made"
    for path in (root / "DEBIAN", root / "usr/bin", root / place.lstrip("/")):
        (path if path.suffix != ".ko" else path.parent).mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {MODULE}\nVersion: 1\nArchitecture: amd64\nMaintainer: none <none@example.org>\nDescription: trial\n"
    )
    (root / f"usr/bin/{MODULE}-tool").write_text("#!/bin/sh\necho tool\n")
    (root / f"usr/bin/{MODULE}-tool").chmod(0o755)
    (root / place.lstrip("/")).write_bytes(tree.module.read_bytes())
    made.mkdir()
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, made], check=True, capture_output=True)
    return made


def rpm_package(tree: Workshop, tmp_path: Path, place: str) -> Path:
    """A directory with a package of the module and a tool; it asks nothing of a system that rpm did not install."""
    made = tmp_path / "made"
    made.mkdir()
    spec = tmp_path / f"{MODULE}.spec"
    spec.write_text(f"""\
%define debug_package %{{nil}}
%define __os_install_post %{{nil}}
Name: {MODULE}
Version: 1
Release: 1
Summary: trial
License: GPL
AutoReqProv: no
%description
A trial.
%install
install -D -m 644 {tree.module} %{{buildroot}}{place}
install -d %{{buildroot}}/usr/bin
printf '#!/bin/sh\\necho tool\\n' > %{{buildroot}}/usr/bin/{MODULE}-tool
chmod 755 %{{buildroot}}/usr/bin/{MODULE}-tool
%files
{place}
/usr/bin/{MODULE}-tool
""")
    tree.rpmbuild(spec, made)
    return made
