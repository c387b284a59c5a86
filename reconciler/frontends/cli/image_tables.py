"""Prints images."""

from collections.abc import Iterator, Sequence

import typer

from reconciler.frontends.cli.snapshot_tables import size
from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import printable
from reconciler.model.named_image import BuiltImage, ImageDetails, ImageOrigin, NamedImage, PulledImage, RemovedImages


def show_images(images: Sequence[NamedImage]) -> None:
    """All images, one line each."""
    print_columns(
        ["NAME", "FORMAT", "SIZE", "DISK", "USES", "ORIGIN"],
        (
            (of.name, of.format, size(of.size_bytes), _gib(of.disk_bytes), str(len(of.used_by)), _origin(of.origin))
            for of in images
        ),
        {"unreadable": "red"},
        empty="no images; get one with `vmcluster image pull debian-12` or `vmcluster image build`",
    )


def show_image_details(image: ImageDetails) -> None:
    """One image in full, one fact a line."""
    for line in _details(image):
        typer.echo(printable(line))


def show_pulled(image: PulledImage) -> None:
    """An image that is there, and how to use it."""
    typer.echo(printable(f"{image.path} {'is up to date' if image.reused else 'was pulled'}: {size(image.size_bytes)}"))
    if image.origin is not None and not image.origin.verified:
        typer.echo("not verified: nothing says what it should contain")
    typer.echo(printable(f"in topologies: `base_image: {image.name}`"))


def show_removed_images(removed: RemovedImages) -> None:
    """What was removed."""
    typer.echo(printable(f"removed {', '.join(removed.names)}: {size(removed.freed_bytes)}"))


def show_built(built: "BuiltImage") -> None:
    """An image and the files next to it."""
    state = "is up to date" if built.reused else "was built"
    typer.echo(f"{built.disk} {state}: {built.size_bytes / 1024**2:.0f} MiB, Linux {built.kernel_version}")
    typer.echo(f"kernel  {built.kernel}")
    typer.echo(f"initrd  {built.initrd}")
    typer.echo(f"cmdline {built.cmdline}")


def _details(image: ImageDetails) -> Iterator[str]:
    yield f"name    {image.name}"
    yield f"path    {image.path}"
    yield f"format  {image.format}, a disk of {_gib(image.disk_bytes)} in {size(image.size_bytes)}"
    yield f"digest  {image.digest}"
    if image.origin is not None:
        yield f"origin  {image.origin.url}, as {image.origin.format}, {utc_time(image.origin.pulled_at)}"
        yield f"        {image.origin.checksum}, {'as published' if image.origin.verified else 'not verified'}"
    else:
        yield "origin  not pulled, or changed since"
    if image.trouble:
        yield f"trouble {image.trouble}"
    for number, whose in enumerate(image.used_by or ("nothing",)):
        yield f"{'' if number else 'used by':7} {whose}"


def _origin(origin: ImageOrigin | None) -> str:
    return "-" if origin is None else origin.url if origin.verified else f"{origin.url} (not verified)"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.3g} GiB"
