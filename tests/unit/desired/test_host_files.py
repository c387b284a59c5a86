"""Disks that others stand on or write to, by whatever name, and formats that guests cannot change."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.desired.load import load_spec
from reconciler.desired.recorded_file_uses import uses_of
from reconciler.errors import ClusterError, Conflict, TopologyInvalid
from reconciler.host.disks.given_format import note_format, noted_format
from reconciler.model.file_use import FileUse
from reconciler.model.record import ClusterSpec
from reconciler.records.record_changes import with_spec

from .conftest import TOPOLOGY, Load
from .files import GIB, qcow2_header, settings_in
from .test_places import with_disks

HOSTILE = qcow2_header(GIB, b"/etc/shadow")
"""What a guest writes at the beginning of its raw disk."""
RAW = bytes(GIB // 1024)


def disk_format(spec: ClusterSpec) -> str:
    return spec.nodes["a"].extra_disks["vdb"].format


@pytest.fixture
def load_with(host: Path) -> Callable[..., ClusterSpec]:
    def load_text(text: str, *uses: FileUse) -> ClusterSpec:
        (host / "lab.yaml").write_text(text)
        return load_spec(host / "lab.yaml", settings_in(host), uses=uses)[1]

    return load_text


def linked(host: Path, name: str) -> Path:
    """The file by another name of each kind that an ordinary user can make."""
    (host / "soft").symlink_to(host / name)
    (host / "hard").hardlink_to(host / name)
    (host / "deep").mkdir()
    (host / "deep" / "up").symlink_to("..")
    return host


NAMES = ["{name}", "./soft", "./hard", "deep/up/{name}", "deep/../hard"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("use", "disk", "why"),
    [
        ({}, "", "is below the disks of node n1 of cluster other, so it is never written to"),
        ({"cluster": "lab"}, "", "is below the disks of node n1 of cluster other, so it is never written to"),
        ({"cluster": None, "whose": "the domain golden"}, "", "is below the disks of the domain golden"),
        ({"written": True, "is_up": True}, "", "is a disk of node n1 of cluster other, which is up and writes to it"),
        ({"written": True, "is_up": True}, ", shared: true", "is a disk of node n1 of cluster other, which is up"),
        ({"written": True, "is_up": True, "shared": True}, "", "is a disk of node n1 of cluster other, which is up"),
        ({"written": True, "is_up": True, "cluster": None}, "", "is a disk of node n1 of cluster other, which is up"),
        ({"written": True, "is_up": True, "shared": True}, ", shared: true", None),
        ({"written": True}, "", None),
        ({"written": True, "is_up": True, "cluster": "lab"}, "", None),
        ({"cluster": "lab", "target": "vdb"}, "", None),
    ],
)
def test_what_others_stand_on_or_write_to_is_no_disk_by_any_name(
    load_with: Callable[..., ClusterSpec], host: Path, name: str, use: dict[str, object], disk: str, why: str | None
) -> None:
    linked(host, "raw.img")
    known = FileUse(host / "raw.img", "node n1 of cluster other", "other", "vda", written=False, format="raw")
    known = replace(known, **use)  # type: ignore[arg-type]
    text = with_disks(f"{{path: {name.format(name='raw.img')}, existing: true{disk}}}")
    if why is None:
        assert disk_format(load_with(text, known)) == "raw"
    else:
        with pytest.raises(Conflict, match=why):
            load_with(text, known)


@pytest.mark.parametrize("name", NAMES)
def test_what_our_machines_write_to_is_no_base_image(
    load_with: Callable[..., ClusterSpec], host: Path, name: str
) -> None:
    linked(host, "raw.img")
    text = TOPOLOGY.replace("base.qcow2", name.format(name="raw.img"))
    use = FileUse(host / "raw.img", "node n1 of cluster other", "other", "vdb", written=True, format="raw")
    with pytest.raises(Conflict, match="is a disk of node n1 of cluster other, which writes to it"):
        load_with(text, use)
    assert load_with(text, replace(use, cluster=None)), "a machine of somebody else's that is off is a template"


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("name", ["raw.img", "soft", "hard"])
def test_a_header_that_a_guest_writes_is_never_believed(
    load_with: Callable[..., ClusterSpec], host: Path, name: str, noted: bool
) -> None:
    """The note on the file is there without a record, and the record is there without a note."""
    linked(host, "raw.img")
    text = with_disks(f"{{path: {name}, existing: true}}")
    record = with_spec(None, "lab", load_with(text))
    if noted:
        note_format(host / "raw.img", "raw")
    uses = () if noted else tuple(uses_of(record))
    for content in (HOSTILE, qcow2_header(GIB), b"KDMV" + RAW, b"\0" * 512):
        (host / "raw.img").write_bytes(content[: len(RAW)].ljust(len(RAW), b"\0"))
        spec = load_with(text, *uses)
        disk = spec.nodes["a"].extra_disks["vdb"]
        assert (disk.format, disk.size_bytes) == ("raw", len(RAW))
    with pytest.raises(TopologyInvalid, match=r"extra_disks\[0\].format: .* was a raw disk, so guests may have"):
        load_with(text.replace("existing", "format: qcow2, existing"), *uses)


@pytest.mark.parametrize(("target", "why"), [("loop", "Too many levels of symbolic links"), ("gone", "No such file")])
def test_links_that_lead_nowhere_are_told_as_such(load: Load, host: Path, target: str, why: str) -> None:
    (host / "loop").symlink_to(target)
    with pytest.raises(TopologyInvalid, match=why):
        load(with_disks("{path: loop, existing: true}"))


def test_a_base_image_that_was_a_guests_raw_disk_is_read_as_raw(load: Load, host: Path) -> None:
    note_format(host / "raw.img", "raw")
    (host / "raw.img").write_bytes(HOSTILE.ljust(len(RAW), b"\0"))
    image = load(TOPOLOGY.replace("base.qcow2", "raw.img")).nodes["a"].base_image
    assert (image.format, image.size_bytes) == ("raw", len(RAW))


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        ("{path: foreign.qcow2, existing: true}", ("qcow2", 3 * GIB)),
        ("{path: foreign.qcow2, existing: true, format: qcow2}", ("qcow2", 3 * GIB)),
        ("{path: foreign.qcow2, existing: true, format: raw}", ("raw", 3 << 13)),
        ("{path: image.vmdk, existing: true, format: raw}", ("raw", 512)),
        ("{path: external.qcow2, existing: true, format: raw, shared: true}", ("raw", 3 << 13)),
        ("{path: raw.img, existing: true, format: qcow2}", "is raw, but must be qcow2 (correct `format`"),
        ("{path: external.qcow2, existing: true, format: qcow2}", "keeps its data in another file"),
        ("{path: stacked.qcow2, existing: true, format: qcow2}", "has a backing file, base.qcow2"),
        ("{path: raw.img, existing: true, format: vmdk}", "format: "),
        ("{path: new.img, size_gb: 1, format: raw}", "format: applies only to a file with `existing: true`"),
    ],
)
def test_the_format_of_an_existing_disk_can_be_said(load: Load, disk: str, found: tuple[str, int] | str) -> None:
    if isinstance(found, tuple):
        spec = load(with_disks(disk)).nodes["a"].extra_disks["vdb"]
        assert (spec.format, spec.size_bytes) == found
    else:
        with pytest.raises(ClusterError) as refused:
            load(with_disks(disk))
        assert found in str(refused.value)


def test_a_disk_that_was_raw_once_stays_raw_wherever_it_is_moved(host: Path) -> None:
    note_format(host / "foreign.qcow2", "qcow2")
    assert noted_format(host / "foreign.qcow2") == "qcow2"
    note_format(host / "foreign.qcow2", "raw")
    note_format(host / "foreign.qcow2", "qcow2")
    (host / "foreign.qcow2").rename(host / "moved")
    shutil.copyfile(host / "moved", host / "copy")
    assert (noted_format(host / "moved"), noted_format(host / "copy")) == ("raw", None)
    os.setxattr(host / "copy", "user.vmcluster.format", b"\xffodd")
    assert noted_format(host / "copy") == "raw", "what cannot be understood is the careful choice"
