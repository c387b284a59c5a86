"""Commands for build trees."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_artifact, complete_node
from reconciler.frontends.cli.kernel_log_commands import node_names
from reconciler.frontends.cli.options import Cluster, Output, OutputFormat, valid_text
from reconciler.frontends.cli.output import prints
from reconciler.frontends.cli.session import RUN_AGAIN, CommandEnding, present
from reconciler.model.choices import BuildType, InstallMode

if TYPE_CHECKING:
    from reconciler.model.results import ArtifactDiff, ArtifactRemoval, BuildArtifact, InstallStatus, SyncStatus

app = Commands()
artifact = Commands(help="Register build trees, copy them to nodes and install them.", no_args_is_help=True)
app.add_typer(artifact, name="artifact")


DEFAULT_DEST = "/opt/vmcluster/artifacts"


def _names(values: list[str] | None) -> list[str] | None:
    """The nodes of all `--node` and `--nodes` options together."""
    return [name for value in values for name in node_names(value) or ()] if values else None


Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--node",
        "--nodes",
        metavar="A,B",
        help="Only these nodes; can be repeated.",
        autocompletion=complete_node,
        callback=_names,
    ),
]
DestBase = Annotated[
    str,
    typer.Option("--dest", metavar="DIR", help="Directory on the nodes where the trees are kept.", callback=valid_text),
]
Id = Annotated[
    str,
    typer.Argument(
        metavar="ARTIFACT",
        help="ID of an artifact, or the start of it.",
        autocompletion=complete_artifact,
        callback=valid_text,
    ),
]


@artifact.command(examples=("artifact register ~/linux --label branch=main",))
@prints
def register(
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="Directory of the build tree.")],
    build_type: Annotated[
        BuildType, typer.Option("--type", metavar="TYPE", help="raw_tree, make_install, rpm or deb.")
    ] = BuildType.RAW_TREE,
    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="VERSION", help="Kernel version of the build. Default: read from the tree."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="Label to store with the artifact; can be repeated."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> "BuildArtifact":
    """Store a copy of a build tree; its ID comes from its content."""
    metadata = dict(_label(each) for each in label or ())
    source = str(tree.absolute())

    return present(
        lambda use: use.artifacts.register(source, build_type, kernel_version=kernel, metadata=metadata),
        CommandEnding(output=output, when_interrupted="nothing was registered"),
    )


@artifact.command("list", examples=("artifact list",))
@prints
def list_artifacts(output: Output = OutputFormat.TABLE) -> "list[BuildArtifact]":
    """List the registered artifacts."""
    return present(lambda use: use.artifacts.listing(), CommandEnding(output=output))


@artifact.command(examples=("artifact show 4f6d21",))
@prints
def show(artifact_id: Id, output: Output = OutputFormat.TABLE) -> "BuildArtifact":
    """Show an artifact: modules, programs, kernel and commit.

    Files that were not stored are listed.
    """
    return present(lambda use: use.artifacts.show(artifact_id), CommandEnding(output=output))


@artifact.command(examples=("artifact diff 4f6d21 9a0c77",))
@prints
def diff(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="The older artifact.", autocompletion=complete_artifact, callback=valid_text),
    ],
    b: Annotated[
        str,
        typer.Argument(metavar="B", help="The newer artifact.", autocompletion=complete_artifact, callback=valid_text),
    ],
    output: Output = OutputFormat.TABLE,
) -> "ArtifactDiff":
    """Compare two artifacts.

    Prints modules and programs that differ, and the commits between them.
    """
    return present(lambda use: use.artifacts.diff(a, b), CommandEnding(output=output))


@artifact.command(examples=("artifact sync lab 4f6d21",))
@prints
def sync(
    cluster: Cluster,
    artifact_id: Id,
    node: Nodes = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare and repair the tree even where it is complete.")
    ] = False,
    dest: DestBase = DEFAULT_DEST,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Time for each node.")] = 3600.0,
    output: Output = OutputFormat.TABLE,
) -> "SyncStatus":
    """Copy an artifact's tree to the nodes.

    Only differences to an earlier tree there are sent.
    """
    return present(
        lambda use: use.deployment.sync(
            cluster, artifact_id, nodes=node, force=force, dest_base=dest, timeout_s=timeout
        ),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
        partial=True,
    )


@artifact.command(examples=("artifact install lab 4f6d21 --nodes n0",))
@prints
def install(
    cluster: Cluster,
    artifact_id: Id,
    node: Nodes = None,
    mode: Annotated[
        InstallMode, typer.Option("--mode", metavar="MODE", help="modprobe_path, make_install, rpm or deb.")
    ] = InstallMode.MODPROBE_PATH,
    dest: DestBase = DEFAULT_DEST,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Time for each node.")] = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "InstallStatus":
    """Install a synced artifact on the nodes. Modules go where modprobe finds them; they are not loaded."""
    return present(
        lambda use: use.deployment.install(
            cluster, artifact_id, nodes=node, install_mode=mode, dest_base=dest, timeout_s=timeout
        ),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
        partial=True,
    )


@artifact.command(examples=("artifact uninstall lab",))
@prints
def uninstall(
    cluster: Cluster,
    node: Nodes = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove no files; only record that the artifact is not installed.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Time for each node.")] = 600.0,
    output: Output = OutputFormat.TABLE,
) -> "InstallStatus":
    """Uninstall the installed artifact from the nodes. Loaded modules stay loaded; synced trees stay."""
    return present(
        lambda use: use.deployment.uninstall(cluster, nodes=node, forget_only=forget, timeout_s=timeout),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
        partial=True,
    )


@artifact.command(examples=("artifact remove 4f6d21",))
@prints
def remove(artifact_id: Id, output: Output = OutputFormat.TABLE) -> "ArtifactRemoval":
    """Remove an artifact from this host and free its space. Nodes keep their copies."""
    return present(
        lambda use: use.artifacts.remove(artifact_id),
        CommandEnding(output=output, when_interrupted=RUN_AGAIN),
    )


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    return key, value
