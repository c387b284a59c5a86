"""Commands for the templates of this host."""

# ruff: noqa: PLC0415  imports wait until a command runs

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_template
from reconciler.frontends.cli.options import Output, OutputFormat, Topology, valid_text
from reconciler.frontends.cli.output import exit_with, prints
from reconciler.frontends.cli.session import CommandEnding, given_topology, present
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.model.template import TemplateInfo
    from reconciler.usecases.template_builds import BuiltTemplates
    from reconciler.usecases.template_listing import RemovedTemplates

app = Commands()
template = Commands(help="Manage templates, from which nodes start as clones.", no_args_is_help=True)
app.add_typer(template, name="template")


def _valid_keys(keys: list[str]) -> list[str]:
    return [valid_text(key) or "" for key in keys]


Keys = Annotated[
    list[str],
    typer.Argument(metavar="KEY...", help="Keys of templates.", autocompletion=complete_template, callback=_valid_keys),
]


@template.command("list", examples=("template list",))
@prints
def list_templates(output: Output = OutputFormat.TABLE) -> "list[TemplateInfo]":
    """List the templates of this host, and why one is not used."""
    return _listed(output, whole=False)


@template.command(examples=("template build ./lab.yaml",))
@prints
def build(topology: Topology, output: Output = OutputFormat.TABLE) -> "BuiltTemplates":
    """Build the templates that the nodes of a topology start from, and say which nodes boot, and why."""
    how_to_end = CommandEnding(output=output)
    wanted = given_topology(topology, how_to_end)

    async def work(use: UseCases) -> "BuiltTemplates":
        from reconciler.usecases.template_builds import build_all

        return await build_all(use.runtime, wanted, use.progress)

    return present(work, how_to_end)


@template.command(examples=("template verify",))
@prints
def verify(output: Output = OutputFormat.TABLE) -> "list[TemplateInfo]":
    """Read the files of all templates; exits 1 if one is damaged."""
    found = _listed(output, whole=True)
    return exit_with(found, 1) if any(of.trouble for of in found) else found


@template.command(examples=("template rm 5d41402abc4b2a76b9719d911017c592",))
@prints
def rm(keys: Keys, output: Output = OutputFormat.TABLE) -> "RemovedTemplates":
    """Remove templates; nodes that started from them keep all they have."""

    async def work(use: UseCases) -> "RemovedTemplates":
        from reconciler.usecases.template_listing import remove_templates

        return await remove_templates(use.runtime, keys)

    return present(work, CommandEnding(output=output))


def show_templates(found: "list[TemplateInfo]") -> None:
    """The templates, one a line."""
    from reconciler.frontends.cli.tables import print_columns

    print_columns(
        ["KEY", "IMAGE", "MEMORY", "VCPUS", "SIZE", "USED", "TROUBLE"],
        [
            (
                of.key,
                str(of.image),
                f"{of.memory_mb} MiB",
                str(of.vcpus),
                f"{of.size_bytes >> 20} MiB",
                f"{of.used_at:%Y-%m-%d %H:%M}",
                of.trouble,
            )
            for of in found
        ],
        empty="no templates; one is made for nodes with `start: clone` in their topology",
    )


def show_built_templates(built: "BuiltTemplates") -> None:
    """The templates, and the nodes that boot."""
    if built.templates:
        show_templates(list(built.templates))
    for node, why in built.boots.items():
        typer.echo(f"{node} boots: {why}")


def show_removed(removed: "RemovedTemplates") -> None:
    """What was removed."""
    typer.echo(f"removed {', '.join(removed.keys)}: {removed.freed_bytes >> 20} MiB")


def _listed(output: OutputFormat, *, whole: bool) -> "list[TemplateInfo]":
    async def work(use: UseCases) -> "list[TemplateInfo]":
        from reconciler.usecases.template_listing import list_templates as listed

        return await listed(use.runtime, whole=whole)

    return present(work, CommandEnding(output=output))
