"""What vmcluster remembers in small files, where somebody else has written them: it remembers nothing, or says so."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.artifacts.manifest import read_manifest
from reconciler.artifacts.reading_cache import load_readings
from reconciler.errors import OperationFailed
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.host.disks.image_digests import MEMORY_FILE, ImageDigests
from reconciler.host.disks.manifests import observe_snapshots
from reconciler.model.document import Unknown
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.store.lease import Lease
from reconciler.store.sqlite import SqliteStore
from tests.unit.store.samples import sample_record, sample_status

STRANGE = [b"", b"5", b"null", b"[5]", b'["ab"]', b"\xff", b"[" * 100_000, b'{"a":' * 800 + b"1", b'{"version":1}']


@pytest.mark.parametrize("content", STRANGE)
def test_a_strange_memory_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MEMORY_FILE).write_bytes(content)
    (tmp_path / "a.qcow2").write_bytes(b"image")
    (image,) = ImageDigests(tmp_path).images(tmp_path, [])
    assert image.digest.startswith("sha256:")
    file = tmp_path / "file"
    file.write_bytes(content)
    assert load_readings(file) == {}
    assert Lease(file).holder() is None
    with pytest.raises(OperationFailed, match="cannot be read"):
        read_manifest(file)


async def test_a_name_that_is_no_text_does_not_keep_a_status_from_being_stored(tmp_path: Path) -> None:
    ensure_our_directory(tmp_path / "lab", "lab", None)
    (tmp_path / "lab" / "snapshots").mkdir()
    (tmp_path / "lab" / "snapshots" / os.fsdecode(b"a\xff")).write_text("somebody's")
    (found,) = observe_snapshots(tmp_path, "lab").values()
    assert isinstance(found, Unknown)
    condition = Condition(
        type=ConditionType.SNAPSHOTS_READY,
        status=ConditionStatus.UNKNOWN,
        reason="Conflict",
        message=found.unknown,
        last_transition=datetime.now(UTC),
    )
    (tmp_path / "state").mkdir(mode=0o700)
    store = SqliteStore(tmp_path / "state")
    try:
        await store.put(sample_record(), expected_generation=0, actor="test")
        await store.put_status(sample_status().model_copy(update={"conditions": (condition,)}))
        stored = await store.status("lab")
    finally:
        await store.close()
    assert stored is not None
    assert "a\\udcff was not created" in stored.conditions[0].message
