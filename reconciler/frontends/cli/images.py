"""The commands for guest images."""

# ruff: noqa: PLC0415  imports wait until a command runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import CommandUseCases, Manner, present
from reconciler.frontends.cli.text import printable

if TYPE_CHECKING:
    from reconciler.usecases.images import BuiltImage

app = Commands()
image = Commands(help="Make guest images.", no_args_is_help=True)
app.add_typer(image, name="image")


def name_of_a_file(path: str | None) -> str | None:
    """A path that can be a file's."""
    if path is not None and (not path or path.endswith(("/", "/.", "/.."))):
        raise typer.BadParameter(f"{printable(path)!r} names no file: say {printable(path)}base.qcow2, for example")
    return valid_text(path)


@image.command()
@prints
def build(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]",
            help="The file that the image shall be; left out: /var/lib/vmcluster/images/base.qcow2.",
            callback=name_of_a_file,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make it again from the archive's present packages, whatever is there.")
    ] = False,
    cache_dir: Annotated[
        Path | None, typer.Option("--cache-dir", metavar="DIR", help="Where packages and stages are kept.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "BuiltImage":
    """Make a small Debian guest image, its kernel and initrd beside it. Does nothing where it is there and current."""

    target = Path(path).absolute() if path else None

    async def work(_use: CommandUseCases) -> "BuiltImage":
        from reconciler.usecases.images import DEFAULT_TARGET, build_image

        return await build_image(
            target or DEFAULT_TARGET, report=narrate, force=force, cache_dir=cache_dir and cache_dir.absolute()
        )

    manner = Manner(output=output, when_interrupted="run it again, and it goes on with the stages that are done")
    return present(work, manner, _show)


def _show(built: "BuiltImage") -> None:
    state = "is up to date" if built.reused else "was made"
    typer.echo(f"{built.disk} {state}: {built.size_bytes / 1024**2:.0f} MiB, Linux {built.kernel_version}")
    typer.echo(f"kernel  {built.kernel}")
    typer.echo(f"initrd  {built.initrd}")
    typer.echo(f"cmdline {built.cmdline}")
