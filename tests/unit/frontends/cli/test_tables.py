"""Results as people read them, letter by letter."""

import os
import sys
from datetime import UTC, datetime

import pytest
import typer

from reconciler.error_codes import ErrorCode
from reconciler.frontends.cli.host_tables import show_hosts
from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.output import BROKEN_PIPE_EXIT_CODE, emit
from reconciler.frontends.cli.tables import show_clusters, show_handle, show_history, show_status
from reconciler.model.host import HostInfo, HostRecord
from reconciler.model.names import guest_disk_path
from reconciler.model.results import (
    ClusterHandle,
    ClusterStatus,
    ClusterSummary,
    DomainState,
    GuestDisk,
    NodeDescriptor,
    NodeStatus,
    ToolError,
)
from reconciler.model.status import Condition, ConditionStatus, ConditionType
from reconciler.records.change import Change

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
READY = Condition(
    type=ConditionType.READY,
    status=ConditionStatus.FALSE,
    reason="Obstructed",
    message="disk full",
    last_transition=SINCE,
)

Captured = pytest.CaptureFixture[str]


def node(name: str, state: DomainState, reachable: bool = False, message: str | None = None) -> NodeStatus:
    return NodeStatus(
        name=name, role="wörker", ip="10.0.0.1", domain_state=state, ssh_reachable=reachable, message=message
    )


def test_a_status_is_a_table_of_nodes_and_one_of_conditions(capsys: Captured) -> None:
    show_status(
        ClusterStatus(
            cluster_name="lab",
            network_active=True,
            nodes=(
                node("a", DomainState.RUNNING, reachable=True),
                node("bb", DomainState.RUNNING),
                node("c", DomainState.SHUT_OFF, message="line\nbreak \x1b[2J"),
            ),
            generation=4,
            observed_generation=3,
            conditions=(READY,),
        )
    )
    assert capsys.readouterr().out == (
        "cluster lab, network active, generation 4 (observed 3)\n"
        "\n"
        "NODE   ROLE     IP         STATE      SSH   MESSAGE\n"
        "a      wörker   10.0.0.1   running    yes\n"
        "bb     wörker   10.0.0.1   running    no\n"
        "c      wörker   10.0.0.1   shut off   -     line\\nbreak \\x1b[2J\n"
        "\n"
        "CONDITION   STATUS   REASON       SINCE                  MESSAGE\n"
        "Ready       False    Obstructed   2026-01-02 03:04:05Z   disk full\n"
    )


def test_a_node_that_runs_and_takes_no_login_says_why(capsys: Captured) -> None:
    cause = ToolError(code=ErrorCode.SSH_TIMEOUT, message="node a: no SSH login within 5 s", recoverable=True)
    silent, off = node("a", DomainState.RUNNING), node("b", DomainState.SHUT_OFF)
    nodes = tuple(of.model_copy(update={"ssh_error": cause}) for of in (silent, off))
    show_status(ClusterStatus(cluster_name="lab", network_active=True, nodes=nodes))
    assert capsys.readouterr().out.splitlines()[3:] == [
        "a      wörker   10.0.0.1   running    no    no SSH login within 5 s",
        "b      wörker   10.0.0.1   shut off   -",
    ]


def test_what_is_installed_has_a_column_where_anything_is(capsys: Captured) -> None:
    installed = node("a", DomainState.RUNNING, reachable=True).model_copy(update={"artifact_id_installed": "ab" * 32})
    other = node("b", DomainState.SHUT_OFF)
    show_status(ClusterStatus(cluster_name="lab", network_active=True, nodes=(installed, other)))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "NODE   ROLE     IP         STATE      SSH   ARTIFACT       MESSAGE",
        "a      wörker   10.0.0.1   running    yes   abababababab",
        "b      wörker   10.0.0.1   shut off   -     -",
    ]


def test_a_cluster_without_nodes_is_destroyed(capsys: Captured) -> None:
    show_status(ClusterStatus(cluster_name="lab", network_active=False, nodes=()))
    assert capsys.readouterr().out == "cluster lab is destroyed\n"


def test_a_long_message_is_one_line_where_output_is_no_terminal(capsys: Captured) -> None:
    long = ClusterStatus(
        cluster_name="lab", network_active=True, nodes=(node("a", DomainState.RUNNING, message="x" * 500),)
    )
    show_status(long)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_square_brackets_are_text_and_no_markup(capsys: Captured) -> None:
    show_status(
        ClusterStatus(
            cluster_name="[bold]lab",
            network_active=False,
            nodes=(node("a", DomainState.CRASHED, message="[red]panic[/red]"),),
        )
    )
    printed = capsys.readouterr().out
    assert "cluster [bold]lab, network inactive" in printed
    assert "[red]panic[/red]" in printed


def test_a_list_tells_clusters_that_only_left_their_disks(capsys: Captured) -> None:
    common = {"nodes": (), "node_count": 3, "wanted_running": 2, "generation": 7}
    show_clusters(
        [
            ClusterSummary(cluster_name="lab", destroyed=False, conditions=(READY,), **common),
            ClusterSummary(cluster_name="old", destroyed=True, **common),
        ]
    )
    assert capsys.readouterr().out == (
        "CLUSTER   NODES   WANTED                  READY     GENERATION\n"
        "lab       3       2 running               False     7\n"
        "old       3       destroyed, disks kept   Unknown   7\n"
    )


def test_what_cannot_be_read_is_in_a_list_with_the_reason_below(capsys: Captured) -> None:
    show_clusters([ClusterSummary.of_unreadable("lab", "the record of cluster lab cannot be read")])
    assert capsys.readouterr().out == (
        "CLUSTER   NODES   WANTED       READY     GENERATION\n"
        "lab       0       unreadable   Unknown   0\n"
        "the record of cluster lab cannot be read\n"
    )
    show_hosts([HostInfo(**dict(HostRecord.of_unreadable("one", "the record of host one cannot be read")))])
    table, _, told = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    assert "one    Unreadable" in table
    assert told == "the record of host one cannot be read"


def test_a_handle_is_a_command_per_node(capsys: Captured) -> None:
    descriptor = NodeDescriptor(name="a", role="r", ip="10.0.0.1", ssh_user="root", ssh_key_path="/k", host_key="k")
    handle = ClusterHandle(
        cluster_name="lab", nodes=(descriptor,), kernel_version="6.1.0", kernel_versions={"a": "6.1.0"}
    )
    show_handle(handle, ["ssh -i /k root@10.0.0.1"])
    assert capsys.readouterr().out == ("NODE   ROLE   KERNEL   LOGIN\na      r      6.1.0    ssh -i /k root@10.0.0.1\n")


def test_a_handle_tells_where_extra_disks_are_in_the_guest(capsys: Captured) -> None:
    disks = [
        GuestDisk(path=f"/d/{bus}.qcow2", guest_path=guest_disk_path(bus, target), size_bytes=1)
        for bus, target in (("virtio", "vdb"), ("scsi", "vdc"), ("sata", "vdd"))
    ]
    descriptor = NodeDescriptor(
        name="a", role="r", ip="10.0.0.1", ssh_user="root", ssh_key_path="/k", host_key="k", extra_disks=tuple(disks)
    )
    handle = ClusterHandle(cluster_name="lab", nodes=(descriptor,), kernel_version="6", kernel_versions={"a": "6"})
    show_handle(handle, ["ssh"])
    assert capsys.readouterr().out.splitlines()[3:] == [
        f"NODE   {'DISK IN THE GUEST':<44}   FILE",
        f"a      {'/dev/disk/by-id/virtio-vdb':<44}   /d/virtio.qcow2",
        f"a      {'/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_vdc':<44}   /d/scsi.qcow2",
        f"a      {'/dev/disk/by-id/ata-QEMU_HARDDISK_vdd':<44}   /d/sata.qcow2",
    ]


def test_a_history_shows_the_first_parts_of_each_change(capsys: Captured) -> None:
    fields = {"cluster_name": "lab", "actor": "vmcluster:eve", "at": SINCE, "patch": ()}
    changes = [
        {**fields, "generation": 2, "changes": tuple("abcdefgh")},
        {**fields, "generation": 3, "changes": ("i",)},
    ]
    show_history([Change.model_validate(change) for change in changes])
    assert capsys.readouterr().out.splitlines() == [
        "GENERATION   AT                     BY              CHANGE",
        "2            2026-01-02 03:04:05Z   vmcluster:eve   a; b; c; d; e; f; 2 more",
        "3            2026-01-02 03:04:05Z   vmcluster:eve   i",
    ]


def test_a_table_below_lines_that_nobody_reads_ends_the_command_as_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        stdout.write("before\n")  # and not written out yet
        with pytest.raises(typer.Exit) as ended:
            emit((), OutputFormat.TABLE, lambda _: show_history(()))
    assert ended.value.exit_code == BROKEN_PIPE_EXIT_CODE
