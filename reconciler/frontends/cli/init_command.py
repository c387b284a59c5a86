"""The command that writes a first topology."""

# ruff: noqa: PLC0415  imports wait until the command runs

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.completion import complete_image
from reconciler.frontends.cli.confirmation import can_be_asked
from reconciler.frontends.cli.options import valid_text
from reconciler.frontends.cli.output import narrate, quiet_pipe
from reconciler.frontends.cli.session import run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.desired.starter_topology import StarterTopology

app = Commands()

_STANDARD_OUTPUT = Path("-")


@app.command(examples=("init lab.yaml --nodes 5 --memory 1024",))
def init(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The file to write; - is standard output. Default: NAME.yaml, here."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the cluster. Default: that of FILE.", callback=valid_text),
    ] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", metavar="N", min=1, help="Number of nodes.")] = None,
    vcpus: Annotated[int | None, typer.Option("--vcpus", metavar="N", help="Virtual CPUs of each node.")] = None,
    memory: Annotated[int | None, typer.Option("--memory", metavar="MIB", help="Memory of each node.")] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Name or path of the nodes' image.",
            autocompletion=complete_image,
            callback=valid_text,
        ),
    ] = None,
    virt_type: Annotated[
        Literal["auto", "kvm", "qemu"] | None,
        typer.Option("--virt-type", help="KVM, emulation, or KVM if it works: auto, the default."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
) -> None:
    """Write a first topology, with comments.

    On a terminal it asks for what no option says; otherwise it takes defaults. The network is one that is free here.
    """
    given = {"nodes": nodes, "vcpus": vcpus, "memory_mb": memory, "image": image, "virt_type": virt_type}
    if file is not None:
        _refuse_existing(file, force)
    name = _chosen_name(file, name)
    target = file or Path(f"{name}.yaml")
    _refuse_existing(target, force)
    chosen = _chosen(name, {key: value for key, value in given.items() if value is not None})

    async def work(use: UseCases) -> tuple[str, list[str]]:
        from reconciler.usecases.starter_topologies import starter_text

        return await starter_text(use.runtime, chosen)

    text, missing = run_command(work)
    if target == _STANDARD_OUTPUT:
        with quiet_pipe():
            sys.stdout.write(text)
    else:
        _write(target, text, force)
    _tell_next(target, missing)


def _chosen_name(file: Path | None, name: str | None) -> str:
    from reconciler.desired.starter_topology import proposed_name

    if name:
        return name
    proposed = proposed_name(file if file and file != _STANDARD_OUTPUT else Path("lab"))
    return str(_answer("Name of the cluster", proposed, _cluster_name)) if can_be_asked() else proposed


def _chosen(name: str, given: dict[str, Any]) -> "StarterTopology":
    from reconciler.desired.starter_topology import StarterTopology
    from reconciler.model.topology import VirtType

    proposed = StarterTopology(name=name)
    if "virt_type" in given:
        given["virt_type"] = VirtType(given["virt_type"])
    if not can_be_asked():
        return StarterTopology(name=name, **given)
    asked = {}
    for key, question in _QUESTIONS.items():
        if key not in given:
            asked[key] = _answer(question, getattr(proposed, key), str if key == "image" else _count)
    return StarterTopology(**{"name": name, **given, **asked})


_QUESTIONS = {
    "nodes": "Number of nodes",
    "vcpus": "Virtual CPUs of each node",
    "memory_mb": "Memory of each node, in MiB",
    "image": "Image of the nodes",
}


def _answer(question: str, proposed: Any, read: Callable[[str], Any]) -> Any:
    """What is answered, asked for again until it can be read."""
    return typer.prompt(question, default=proposed, value_proc=read, err=True)


def _cluster_name(text: str) -> str:
    from reconciler.desired.starter_topology import is_cluster_name, proposed_name

    if not is_cluster_name(text):
        near = proposed_name(Path(text))
        raise typer.BadParameter(f"use lower-case letters, digits and inner hyphens, as in {near}")
    return text


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter("use a whole number, at least 1")
    return number


def _refuse_existing(target: Path, force: bool) -> None:
    if target != _STANDARD_OUTPUT and target.exists() and not force:
        raise typer.BadParameter(f"{target} is there already (pass --force to replace it)", param_hint="FILE")


def _write(target: Path, text: str, force: bool) -> None:
    try:
        with target.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise typer.BadParameter(f"{target} cannot be written: {error.strerror}", param_hint="FILE") from error


def _tell_next(target: Path, missing: list[str]) -> None:
    for problem in missing:
        narrate(f"still missing here: {problem}")
    if target != _STANDARD_OUTPUT:
        shown = shlex.quote(str(target if "/" in str(target) else f"./{target}"))
        narrate(f"wrote {target}; {'then' if missing else 'next'}: vmcluster apply {shown}")
