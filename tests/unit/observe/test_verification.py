"""What is found wrong with snapshots, beside their layers and memories."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.error_codes import ErrorCode
from reconciler.files.marked_files import CLUSTER_DIR_MODE, ensure_directory
from reconciler.host.disks.manifests import finish_snapshot, observe_snapshots, snapshot_dir, snapshot_nvram_path
from reconciler.host.nvram import keep_nvram
from reconciler.model.document import Layer, Snapshot, Unknown
from reconciler.model.snapshot import FrozenDisk, Manifest, SnapshotNode, SnapshotPower
from reconciler.observe.verification import verify_snapshots

CLUSTER, NAME = "lab", "before"


async def test_a_snapshot_tells_of_variables_of_uefi_that_are_damaged_or_gone(tmp_path: Path) -> None:
    source = tmp_path / "n0.r0.nvram"
    source.write_bytes(b"variables")
    ensure_directory(snapshot_dir(tmp_path, CLUSTER, NAME), mode=CLUSTER_DIR_MODE)
    for node in ("n0", "n1"):
        keep_nvram(source, snapshot_nvram_path(tmp_path, CLUSTER, NAME, node), CLUSTER, node)
    finish_snapshot(tmp_path, manifest("n0", "n1", "bios"))
    assert await findings(tmp_path) == ()
    snapshot_nvram_path(tmp_path, CLUSTER, NAME, "n0").write_bytes(b"others")
    snapshot_nvram_path(tmp_path, CLUSTER, NAME, "n1").unlink()
    damaged, missing = await findings(tmp_path)
    assert damaged.startswith("n0: the UEFI variables")
    assert damaged.endswith("are damaged: they differ from what was saved")
    assert missing == "the UEFI variables of 1 of 2 nodes are missing"


async def findings(overlay_dir: Path) -> tuple[str, ...]:
    return (await verify_snapshots(observe_snapshots(overlay_dir, CLUSTER), {}, overlay_dir, CLUSTER))[NAME]


def manifest(*nodes: str) -> Manifest:
    return Manifest(
        cluster_name=CLUSTER,
        snapshot_name=NAME,
        request=1,
        include_memory=False,
        pause_s=0,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        nodes={node: SnapshotNode(power=SnapshotPower.OFF, disks={}) for node in nodes},
    )


async def test_a_frozen_layer_that_is_another_file_is_told_and_not_read(tmp_path: Path) -> None:
    frozen, below = Path("/overlays/lab/n0.vda.r0.1.qcow2"), Path("/overlays/lab/n0.vda.r0.0.qcow2")
    top = Layer(node="n0", disk="vda", size_bytes=1, backing=below, backing_format="qcow2")
    disks = {"vda": FrozenDisk(path=frozen, format="qcow2")}
    nodes = {"n0": SnapshotNode(power=SnapshotPower.OFF, disks=disks)}
    snapshots = {NAME: Snapshot(request=1, include_memory=False, nodes=nodes)}
    strange: dict[str, tuple[dict[Path, Layer | Unknown], str]] = {
        "itself": ({frozen: top.model_copy(update={"misplaced": "it is n1's"})}, f"{frozen} is not the file"),
        "below": ({frozen: top, below: Unknown(unknown="a FIFO", code=ErrorCode.CONFLICT)}, "a FIFO"),
    }
    for layers, problem in strange.values():
        found = await verify_snapshots(snapshots, {str(path): of for path, of in layers.items()}, tmp_path, CLUSTER)
        assert found[NAME][0].startswith(f"n0: {problem}")
