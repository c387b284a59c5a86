"""Samples of qemu-img: its report on images that are sound, leaking, and damaged."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.golden_samples import UNIT_TESTS, Sample

GOLDEN = UNIT_TESTS / "disks" / "golden"
_CLUSTER_BYTES = 65536
_REFCOUNT_BLOCK = 2 * _CLUSTER_BYTES
"""Where qemu-img puts the first block of reference counts: after the header and the table of such blocks."""


def take() -> Iterator[Sample]:
    """All of them, of images in a temporary directory."""
    (version,) = re.findall(r"version ([0-9.]+)", _call("qemu-img", "--version").stdout.partition("\n")[0])
    with tempfile.TemporaryDirectory() as directory:
        for name, count in (("sound", None), ("leaking", 1), ("damaged", 0)):
            image = Path(directory) / name
            _call("qemu-img", "create", "-q", "-f", "qcow2", str(image), "8M")
            _call("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 64k", str(image))
            if count is not None:
                _set_reference_count(image, of_cluster=9 if count else 5, count=count)
            report = _call("qemu-img", "check", "--output=json", "-f", "qcow2", str(image)).stdout
            yield Sample(GOLDEN / f"check-{name}.qemu-img-{version}.json", report.replace(str(image), f"/{name}.qcow2"))


def _set_reference_count(image: Path, *, of_cluster: int, count: int) -> None:
    """Write one of the 16-bit counts of the first block (QEMU, docs/interop/qcow2.rst)."""
    with image.open("r+b") as file:
        file.seek(0, 2)
        file.truncate(max(file.tell(), (of_cluster + 1) * _CLUSTER_BYTES))
        file.seek(_REFCOUNT_BLOCK + 2 * of_cluster)
        file.write(count.to_bytes(2, "big"))


def _call(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
