"""Commands for guest images."""

# ruff: noqa: PLC0415  imports wait until a command runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_image, complete_published
from reconciler.frontends.cli.options import Output, OutputFormat, more_than_zero, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import CommandEnding, present
from reconciler.frontends.cli.text import printable
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.named_image import BuiltImage, ImageDetails, NamedImage, PulledImage, RemovedImages

app = Commands()
image = Commands(help="Build, pull and remove guest images.", no_args_is_help=True)
app.add_typer(image, name="image")


def _valid_names(names: list[str]) -> list[str]:
    return [valid_text(name) or "" for name in names]


ImageName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of an image.", autocompletion=complete_image, callback=valid_text),
]
ImageNames = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Names of images.", autocompletion=complete_image, callback=_valid_names),
]

PublishedImage = Annotated[
    str,
    typer.Argument(
        metavar="NAME|URL",
        help="A published image, such as debian-12 or ubuntu-24.04; or the https address of one.",
        autocompletion=complete_published,
        callback=valid_text,
    ),
]


def name_of_a_file(path: str | None) -> str | None:
    """A path with a file name."""
    if path is not None and (not path or path.endswith(("/", "/.", "/.."))):
        raise typer.BadParameter(f"{printable(path)!r} is not a file name: try {printable(path)}base.qcow2")
    return valid_text(path)


@image.command(examples=("image build",))
@prints
def build(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="Where to write the image. Default: base.qcow2 in image_dir.",
            callback=name_of_a_file,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Rebuild it from the archive's current packages, even if it is up to date.")
    ] = False,
    cache_dir: Annotated[
        Path | None,
        typer.Option("--cache-dir", metavar="DIR", help="Directory for downloaded packages and finished stages."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "BuiltImage":
    """Build a small Debian guest image.

    Its kernel and initrd are written next to it. Does nothing if the image is up to
    date, and never replaces one that disks of machines or templates stand on.
    """

    target = Path(path).absolute() if path else None

    async def work(use: UseCases) -> "BuiltImage":
        from reconciler.model.names import BASE_IMAGE, image_path
        from reconciler.usecases.images import build_guest_image

        base = image_path(use.runtime.settings.image_dir, BASE_IMAGE)
        return await build_guest_image(
            use.runtime, target or base, report=narrate, force=force, cache_dir=cache_dir and cache_dir.absolute()
        )

    how_to_end = CommandEnding(
        output=output, when_interrupted="run it again to continue after the stages that are done"
    )
    return present(work, how_to_end)


@image.command(
    examples=(
        "image pull debian-12",
        "image pull ubuntu-24.04 --name noble",
        "image pull https://example.org/disk.qcow2 --unverified",
    )
)
@prints
def pull(
    source: PublishedImage,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name for topologies. Default: NAME, or from the address."),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="DIGEST", help="What the file at the address must be.")
    ] = None,
    checksum_url: Annotated[
        str | None,
        typer.Option("--checksum-url", metavar="URL", help="Address of a file such as SHA256SUMS that names it."),
    ] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Use what the server sends, though nothing says what it should be.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an image of that name, unless something stands on it.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", help="How long it may take.", callback=more_than_zero),
    ] = 3600,
    max_gb: Annotated[
        float,
        typer.Option("--max-gb", metavar="GIB", help="How large it may be.", callback=more_than_zero),
    ] = 32,
    output: Output = OutputFormat.TABLE,
) -> "PulledImage":
    """Download a published cloud image, and keep it under a name.

    Topologies name it as base_image. It is compared with the checksum that its
    publisher gives, and converted to qcow2 if it is in another format. Run it
    again after a broken download to continue; it does nothing if the image is
    there already.
    """

    async def work(use: UseCases) -> "PulledImage":
        from reconciler.image.http_download import DownloadLimits
        from reconciler.usecases.image_pull import PullRequest, pull_image

        request = PullRequest(
            source=source,
            name=name,
            sha256=sha256,
            checksum_url=checksum_url,
            unverified=unverified,
            force=force,
            limits=DownloadLimits(most_bytes=int(max_gb * 2**30), time_s=timeout),
        )
        return await pull_image(use.runtime, request, use.progress)

    return present(
        work, CommandEnding(output=output, when_interrupted="run it again to continue after what has arrived")
    )


@image.command("list", examples=("image list",))
@prints
def list_images(output: Output = OutputFormat.TABLE) -> "list[NamedImage]":
    """List the images that topologies know by name."""

    async def work(use: UseCases) -> "list[NamedImage]":
        from reconciler.usecases.named_images import listed_images

        return await listed_images(use.runtime)

    return present(work, CommandEnding(output=output))


@image.command(examples=("image info debian-12",))
@prints
def info(name: ImageName, output: Output = OutputFormat.TABLE) -> "ImageDetails":
    """Show an image: format, size, digest, origin, and what stands on it."""

    async def work(use: UseCases) -> "ImageDetails":
        from reconciler.usecases.named_images import examine_image

        return await examine_image(use.runtime, name)

    return present(work, CommandEnding(output=output))


@image.command(examples=("image rm debian-12",))
@prints
def rm(names: ImageNames, output: Output = OutputFormat.TABLE) -> "RemovedImages":
    """Remove images, unless disks of machines or templates stand on them."""

    async def work(use: UseCases) -> "RemovedImages":
        from reconciler.usecases.named_images import remove_images

        return await remove_images(use.runtime, names)

    return present(work, CommandEnding(output=output))
