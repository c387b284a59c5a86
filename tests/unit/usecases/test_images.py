"""The guest image, as front ends ask for it."""

from pathlib import Path

import pytest

from reconciler.errors import HostCapabilityMissing
from reconciler.usecases.images import build_guest_image


async def test_a_cache_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostCapabilityMissing, match="Not a directory") as caught:
        await build_guest_image(tmp_path / "base.qcow2", report=print, cache_dir=tmp_path / "file" / "cache")
    assert caught.value.hint is not None
    assert str(tmp_path / "file") in caught.value.message
