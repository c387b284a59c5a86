"""What vmcluster remembers in small files, where somebody else has written them: it remembers nothing, or says so."""

from pathlib import Path

import pytest

from reconciler.artifacts.manifest import read_manifest
from reconciler.artifacts.reading_cache import load_readings
from reconciler.errors import OperationFailed
from reconciler.host.disks.image_digests import MEMORY_FILE, ImageDigests
from reconciler.store.lease import Lease

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
