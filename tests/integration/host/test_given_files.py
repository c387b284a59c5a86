"""Files of an unprivileged maker, after libvirt's daemon (which is root) has given them to QEMU's user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.files.marked_files import create_file, replace_file
from reconciler.files.ownership import OwnedKind, OwnerMark, read_mark

MARK = OwnerMark(cluster="demo", kind=OwnedKind.SEED)


def test_an_unprivileged_maker_keeps_access_to_what_libvirt_gives_away() -> None:
    maker, qemu, other = 65534, 64055, 64056
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory) / "seed"
        os.chown(directory, maker, maker)
        with acting_as(maker):
            create_file(path, b"content", MARK, mode=0o600)
        os.chown(path, qemu, qemu)
        with acting_as(maker):
            assert (read_mark(path), path.read_bytes()) == (MARK, b"content")
            replace_file(path, b"new", MARK, mode=0o600)
        os.chown(path, qemu, qemu)
        Path(directory).chmod(0o755)
        with acting_as(other), pytest.raises(PermissionError):
            path.read_bytes()


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
