"""Commands that tell other programs how to log in to nodes."""

# ruff: noqa: PLC0415  imports wait until a command runs

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import AnyClusters, OutputFormat
from reconciler.frontends.cli.output import emit, narrate, quiet_pipe
from reconciler.frontends.cli.session import run_command
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.usecases.login_names import NamedLogins

app = Commands()


class InventoryFormat(StrEnum):
    """The forms of an Ansible inventory."""

    YAML = "yaml"
    INI = "ini"
    JSON = "json"


@app.command("ssh-config", examples=("ssh-config --write", "ssh-config lab >lab.conf"))
def ssh_config(
    clusters: AnyClusters = None,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write it for all clusters, to ~/.ssh/vmcluster_config, and include that file."),
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Undo --write.")] = False,
) -> None:
    """Print a configuration with which ssh, scp and editors log in.

    A node is called CLUSTER-NODE, and CLUSTER.NODE. Only its own host key is accepted, as by `vmcluster ssh`. With
    --write the names work everywhere; ~/.ssh/config gets an Include between two marks, and keeps everything else.
    """
    if (write or remove) and (clusters or (write and remove)):
        raise typer.BadParameter("--write and --remove are for all clusters, and exclude each other")
    if remove:
        return _remove()
    logins = _write() if write else _print(clusters or [])
    return _name_left_out(logins)


def _ssh_dir() -> Path:
    return Path.home() / ".ssh"


def _remove() -> None:
    async def work(_: UseCases) -> list[str]:
        from reconciler.usecases.ssh_config_file import remove_ssh_config

        return await remove_ssh_config(_ssh_dir())

    for told in run_command(work) or ["there is nothing to remove"]:
        narrate(told)


def _write() -> "NamedLogins":
    async def work(use: UseCases) -> "NamedLogins":
        from reconciler.usecases.ssh_config_file import write_ssh_config

        return await write_ssh_config(use.runtime, _ssh_dir())

    logins = run_command(work)
    for login in logins:
        narrate(f"ssh {login.names[0]}")
    return logins


def _print(clusters: list[str]) -> "NamedLogins":
    from reconciler.usecases.login_names import render_ssh_config

    logins = _found(clusters)
    with quiet_pipe():
        sys.stdout.write(render_ssh_config(logins))
    return logins


@app.command(examples=("inventory lab >hosts.yaml",))
def inventory(
    clusters: AnyClusters = None,
    output: Annotated[
        InventoryFormat, typer.Option("--output", "-o", help="Its form; json is what an inventory script prints.")
    ] = InventoryFormat.YAML,
    as_list: Annotated[
        bool, typer.Option("--list", help="Print all hosts as JSON, as an inventory script does.")
    ] = False,
    host: Annotated[
        str | None, typer.Option("--host", metavar="NAME", help="Print the variables of one host as JSON.")
    ] = None,
) -> None:
    """Print an Ansible inventory.

    A node is called CLUSTER-NODE. It is in the groups cluster_CLUSTER and role_ROLE, in which each character that
    Ansible does not want in a group is an underscore.
    """
    from reconciler.usecases.ansible_inventory import (
        inventory_as_data,
        inventory_as_ini,
        inventory_as_yaml,
        variables_of,
    )

    logins = _found(clusters or [])
    if host is not None:
        emit(variables_of(logins, host), OutputFormat.JSON)
    elif as_list or output is InventoryFormat.JSON:
        emit(inventory_as_data(logins), OutputFormat.JSON)
    elif output is InventoryFormat.YAML:
        emit(inventory_as_yaml(logins), OutputFormat.YAML)
    else:
        with quiet_pipe():
            sys.stdout.write(inventory_as_ini(logins))
    _name_left_out(logins)


def _found(clusters: list[str]) -> "NamedLogins":
    async def work(use: UseCases) -> "NamedLogins":
        from reconciler.usecases.login_names import named_logins

        return await named_logins(use.runtime, clusters)

    return run_command(work)


def _name_left_out(logins: "NamedLogins") -> None:
    for cluster, cause in logins.left_out.items():
        narrate(f"{cluster} is not included: {cause}")
