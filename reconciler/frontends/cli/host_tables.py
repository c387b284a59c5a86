"""Prints hosts."""

from collections.abc import Sequence

import typer

from reconciler.frontends.cli.tables import print_columns, utc_time
from reconciler.frontends.cli.text import printable
from reconciler.model.host import ForgottenHost, HostInfo

_UNREADABLE = "Unreadable"
_STYLES = {_UNREADABLE: "red", "Ready": "green", "Ready,Cordoned": "yellow", "Lost": "red", "Lost,Cordoned": "red"}


def show_hosts(hosts: Sequence[HostInfo]) -> None:
    """All hosts, one line each."""
    print_columns(
        ["HOST", "STATUS", "ADDRESS", "NODES", "VCPUS", "MEMORY", "DISK FREE", "KVM", "LABELS"],
        map(_row, hosts),
        _STYLES,
        empty="no host has reported yet; run `vmcluster watch` on every host",
    )
    for host in hosts:
        if host.unreadable:
            typer.echo(printable(host.unreadable))


def show_host(host: HostInfo) -> None:
    """One host in full."""
    show_hosts([host])
    lines = [
        f"version {host.version}, libvirt {host.libvirt_uri}",
        *([f"lost since {utc_time(host.lost_since)}"] if host.lost_since else []),
        *(["nodes without a host are here"] if host.home else []),
        *(f"{name}: {complaint or 'works'}" for name, complaint in host.features.items()),
        *(f"image {image.path}  {image.digest}" for image in host.images),
        *(f"node {node}" for node in host.placed_nodes),
    ]
    typer.echo()
    for line in lines:
        typer.echo(printable(line))


def show_forgotten(forgotten: ForgottenHost) -> None:
    """A host that is no longer part of the store, and what happens to its nodes."""
    typer.echo(printable(f"host {forgotten.name} is forgotten"))
    for node in forgotten.placed_nodes:
        typer.echo(printable(f"{node} will be placed again, with new disks: `vmcluster apply` of its topology"))


def _row(host: HostInfo) -> list[str]:
    return [
        host.name,
        _status(host),
        str(host.address or "-"),
        str(host.use.node_count),
        f"{host.use.vcpus}/{host.vcpus}",
        f"{host.use.memory_mb}/{host.memory_mb} MiB",
        f"{host.disk_free_bytes / 2**30:.0f} GiB",
        "yes" if host.kvm_usable else "no",
        ",".join(f"{key}={value}" for key, value in host.labels.items()) or "-",
    ]


def _status(host: HostInfo) -> str:
    if host.unreadable:
        return _UNREADABLE
    status = "Ready" if host.alive else "Lost"
    return f"{status},Cordoned" if host.cordoned else status
