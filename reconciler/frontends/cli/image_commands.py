"""Commands for guest images."""

# ruff: noqa: PLC0415  imports wait until a command runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import CommandEnding, present
from reconciler.frontends.cli.text import printable
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.usecases.images import BuiltImage

app = Commands()
image = Commands(help="Build guest images.", no_args_is_help=True)
app.add_typer(image, name="image")


def name_of_a_file(path: str | None) -> str | None:
    """A path with a file name."""
    if path is not None and (not path or path.endswith(("/", "/.", "/.."))):
        raise typer.BadParameter(f"{printable(path)!r} is not a file name: try {printable(path)}base.qcow2")
    return valid_text(path)


@image.command()
@prints
def build(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="Where to write the image. Default: /var/lib/vmcluster/images/base.qcow2.",
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

    Its kernel and initrd are written next to it. Does nothing if the image is up to date.
    """

    target = Path(path).absolute() if path else None

    async def work(_use: UseCases) -> "BuiltImage":
        from reconciler.usecases.images import DEFAULT_TARGET, build_guest_image

        return await build_guest_image(
            target or DEFAULT_TARGET, report=narrate, force=force, cache_dir=cache_dir and cache_dir.absolute()
        )

    how_to_end = CommandEnding(
        output=output, when_interrupted="run it again to continue after the stages that are done"
    )
    return present(work, how_to_end)


def show_built(built: "BuiltImage") -> None:
    """An image and the files next to it."""
    state = "is up to date" if built.reused else "was built"
    typer.echo(f"{built.disk} {state}: {built.size_bytes / 1024**2:.0f} MiB, Linux {built.kernel_version}")
    typer.echo(f"kernel  {built.kernel}")
    typer.echo(f"initrd  {built.initrd}")
    typer.echo(f"cmdline {built.cmdline}")
