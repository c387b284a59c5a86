"""A seed's disk: an ISO 9660 image labelled `cidata`, written and read in memory.

The names that NoCloud requires are lower-case with a dash, which ISO 9660 itself cannot spell: they are Rock Ridge
names, as Linux reads them.
"""

# ruff: noqa: PLC0415  pycdlib waits until there is a seed

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

from reconciler.host.cloud_init.seed_codec import VOLUME_LABEL

if TYPE_CHECKING:
    import pycdlib

WAITING_LABEL = "VMCLUSTER_WAIT"
"""The label of a seed that gives no lasting identity: the machine waits until another seed is in its place."""

_SIZE_UNIT = 1 << 20
"""Seeds have few sizes: a machine that finds another one of the same size need not look at the device again."""

_ROCK_RIDGE = "1.09"
_INTERCHANGE_LEVEL = 3


def render_iso(files: Mapping[str, str], label: str = VOLUME_LABEL) -> bytes:
    """An image with `files` in its root directory."""
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=_INTERCHANGE_LEVEL, vol_ident=label, rock_ridge=_ROCK_RIDGE)
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(BytesIO(content), len(content), iso_path=f"/FILE{number}.;1", rr_name=name)
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    content = image.getvalue()
    return content + bytes(-len(content) % _SIZE_UNIT)


def parse_iso(image: bytes) -> dict[str, str]:
    """The files in the root directory of an image; raises `ValueError` if we did not write it."""
    import pycdlib
    from pycdlib.pycdlibexception import PyCdlibException

    iso = pycdlib.PyCdlib()
    try:
        iso.open_fp(BytesIO(image))
        names = [child.rock_ridge.name().decode() for child in iso.list_children(rr_path="/") if child.is_file()]
        return {name: _content(iso, name) for name in names}
    except (PyCdlibException, UnicodeDecodeError, AttributeError, IndexError, struct.error) as error:
        raise ValueError(f"not a seed image: {error}") from error


def _content(iso: "pycdlib.PyCdlib", name: str) -> str:
    content = BytesIO()
    iso.get_file_from_iso_fp(content, rr_path=f"/{name}")
    return content.getvalue().decode()
