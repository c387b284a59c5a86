"""The disk images of this host that topologies know by name, as their users see them."""

from pathlib import Path

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.timestamps import Moment


class ImageOrigin(Frozen):
    """Where an image was pulled from."""

    url: str = Field(description="The address, without a query.")
    checksum: str = Field(description="Algorithm and digest of what was downloaded.")
    verified: bool = Field(description="Whether what was downloaded has the checksum that its publisher or user gave.")
    format: str = Field(description="The format that it was downloaded in.")
    pulled_at: Moment = Field(description="When.")


class NamedImage(Frozen):
    """A disk image in `image_dir`."""

    name: str = Field(description="Its name, for `base_image` in a topology.")
    path: Path = Field(description="The file.")
    format: str = Field(description="`qcow2` or `raw`; or what else it is, or `unreadable`.")
    size_bytes: int = Field(description="Size of the file.")
    disk_bytes: int = Field(description="Size of the disk that machines see.")
    origin: ImageOrigin | None = Field(default=None, description="Null: it was not pulled, or was changed since.")
    used_by: tuple[str, ...] = Field(default=(), description="The nodes, templates and machines that stand on it.")


class ImageDetails(NamedImage):
    """An image, after reading all of it."""

    digest: str = Field(description="`sha256:` and the digest of its content.")
    trouble: str = Field(default="", description="Why no machine can start from it; empty: one can.")


class BuiltImage(Frozen):
    """A finished image: its files, and whether they were already up to date."""

    disk: Path = Field(description="The image.")
    kernel: Path = Field(description="Its kernel, for direct boot.")
    initrd: Path = Field(description="Its initrd, for direct boot.")
    description: Path = Field(description="The file that records what it was built from.")
    kernel_version: str = Field(description="What `uname -r` prints in the guest.")
    cmdline: str = Field(description="Kernel command line for direct boot.")
    recipe_digest: str = Field(description="Hash of everything that determines its content.")
    size_bytes: int = Field(description="Size of the image on disk.")
    reused: bool = Field(description="It was already up to date; nothing was built.")


class PulledImage(NamedImage):
    """An image that is there now."""

    reused: bool = Field(description="It was already there, as published.")


class RemovedImages(Frozen):
    """Images that are gone."""

    names: tuple[str, ...] = Field(description="Of the removed images.")
    freed_bytes: int = Field(description="What their files took on disk.")
