"""Commands for the stores of desired-state records."""

# ruff: noqa: PLC0415  imports wait until a command runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import narrate, prints
from reconciler.frontends.cli.session import CommandEnding, present
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.usecases.store_copy import StoreCopy

app = Commands()
store = Commands(help="Move the records of all clusters.", no_args_is_help=True)
app.add_typer(store, name="store")

_SCHEME = "etcd://"


def _store_name(text: str) -> str:
    """A directory as an absolute path, or the address of an etcd as it is."""
    text = valid_text(text) or ""
    return text if text.startswith(_SCHEME) else str(Path(text).absolute())


@store.command(examples=("store copy /var/lib/vmcluster/state etcd://10.0.0.5:2379",))
@prints
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A `state_dir`, or etcd://HOST:2379,HOST:2379.", callback=_store_name)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="The same; a store without clusters.", callback=_store_name)
    ],
    output: Output = OutputFormat.TABLE,
) -> "StoreCopy":
    """Copy all records, histories and events into an empty store.

    Stop all controllers first. Then set `store` (or `state_dir`) on every host to the new one.
    """

    async def work(use: UseCases) -> "StoreCopy":
        from reconciler.usecases.store_copy import copy_store

        return await copy_store(use.runtime.settings, source, target, narrate)

    how_to_end = CommandEnding(output=output, when_interrupted="run it again to make the copy from the start")
    return present(work, how_to_end)


def show_copied(copied: "StoreCopy") -> None:
    """The clusters that were copied, and what to do next."""
    for name in copied.clusters:
        typer.echo(f"copied {name}")
    typer.echo(f"{copied.target} holds the records of {len(copied.clusters)} clusters; {copied.source} is unchanged")
    typer.echo("set `store` or `state_dir` in the configuration of every host to it, and start the controllers")
