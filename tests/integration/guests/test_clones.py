"""A node that starts from a template is what a booted one is."""

import asyncio
import os
import re
import shlex
import signal
from typing import Any

import pytest

from reconciler.model.topology import StartMode
from tests.integration.bed import TEMPLATE_DIR, Bed, Session
from tests.integration.kills import run_in_child
from tests.waiting import BOOT_TIMEOUT_S

CLUSTER = "clones"
USER_DATA = {"write_files": [{"path": "/etc/motd", "content": "made by cloud-init\n"}]}
KINDS = {"of a machine that booted up to cloud-init": USER_DATA, "of one that booted completely": {}}
"""The two kinds of templates, and the user data for which they are taken."""

_DATASOURCE = """import pickle, pprint, re
kept = vars(pickle.load(open("/var/lib/cloud/instance/obj.pkl", "rb")))
text = re.sub("at 0x[0-9a-f]+", "", pprint.pformat(kept, width=9999))
for word in open("/tmp/keys").read().split():
    text = text.replace(word, "")
print(text)"""
_KEYS = "(grep -v ' ' /etc/ssh/ssh_host_ed25519_key; awk '{print $2}' /etc/ssh/ssh_host_ed25519_key.pub) >/tmp/keys; "

FACTS = {
    "files": "find / -xdev -not -path '/var/log/*' -not -path '/tmp/*' -not -path '*/__pycache__*'"
    " -printf '%p %y %m %u %g %l\\n' | sort",
    "contents": "find /etc /root /usr/local /var/lib/cloud -type f -not -name 'ssh_host_*' -print0 | sort -z"
    " | xargs -0 sha256sum",
    "services": "systemctl list-units --all --plain --no-legend | awk '{print $1, $2, $3, $4}' | sort",
    "identity": "hostname; cat /etc/machine-id /sys/class/dmi/id/product_uuid /etc/hosts; hostnamectl",
    "network": "ip -br link; ip -br address; ip route; cat /proc/net/dev | wc -l",
    "disks": "ls -l /dev/disk/by-id /dev/disk/by-label /dev/disk/by-path | awk '{print $9, $11}';"
    " lsblk -no NAME,SIZE,RO,SERIAL,LABEL",
    "card": "/lib/systemd/systemd-networkd-wait-online --timeout=60;"
    " networkctl --no-pager -n 0 status eth0; cat /run/systemd/netif/state /run/systemd/netif/links/*",
    "units": "systemctl show -p Id,ActiveState,SubState,Result,NRestarts,NeedDaemonReload '*.service' '*.target'",
    "processes": "for unit in /sys/fs/cgroup/system.slice/*.service; do for id in $(cat $unit/cgroup.procs); do"
    " echo $unit $(tr '\\0' ' ' </proc/$id/cmdline); done; done | grep -v udevd | sort",
    "datasource": f"{_KEYS} python3 -c {shlex.quote(_DATASOURCE)}",
    "config": f"{_KEYS} cd /var/lib/cloud/instance;"
    " cat user-data.txt user-data.txt.i cloud-config.txt | grep -vFf /tmp/keys",
    "run": "cat /run/cloud-init/*.json /run/cloud-init/.instance-id;"
    " ls -l /run/cloud-init | awk '{print $1, $3, $9, $11}'",
    "modules": "lsmod | awk '{print $1}' | sort",
    "devices": "find /sys/bus/pci/devices /sys/bus/virtio/devices -maxdepth 1 -printf '%f\\n' | sort",
    "users": "cat /etc/passwd /etc/group /etc/shadow; stat -c '%n %a %U' /root /root/.ssh /root/.ssh/*",
    "cloud-init": "cloud-init status --long | grep -v last_update",
}
"""What is compared, and the command that prints it."""

DIFFER = {
    "files": r"^/run/|^/var/tmp/|/systemd-private-",
    "contents": r"/etc/machine-id|/var/lib/cloud/(data|sem)/|/instance[^ ]*/(sem/|boot-finished|obj\.pkl|datasource)"
    r"|/(user-data|cloud-config|vendor)[^ ]*$",
    "card": r"Online since|: \d+$|\[\d+\]|^● |Activation|Driver",
    "config": r"^--=|boundary=",
    "run": r'"(finished|start)":',
    "services": r"\.device |\.mount |session-|run-u|\.scope |\.slice |cloud-config\.service",
    "identity": r"Boot ID|Machine ID",
}
"""Lines that differ from boot to boot: times, and the host key, which is new with each cluster."""


of_each_kind = pytest.mark.parametrize("user_data", KINDS.values(), ids=KINDS)


async def _facts(session: Session) -> dict[str, list[str]]:
    found = {}
    for name, command in FACTS.items():
        done = await session.nodes.run(CLUSTER, "n0", command, timeout_s=BOOT_TIMEOUT_S)
        assert done.exit_code == 0, f"{name}: {done.stderr}"
        lines = done.stdout.splitlines()
        found[name] = [line for line in lines if not (name in DIFFER and re.search(DIFFER[name], line))]
    return found


def _starts(mode: StartMode, user_data: dict[str, Any]) -> Any:
    def edit(document: dict[str, Any]) -> None:
        document["start"] = mode.value
        document["user_data"] = user_data

    return edit


async def _apply(bed: Bed, session: Session, mode: StartMode, user_data: dict[str, Any], nodes: int = 1) -> None:
    bed.write_topology(CLUSTER, nodes=nodes, boots=True, edit=_starts(mode, user_data))
    await session.clusters.apply(CLUSTER, timeout_s=BOOT_TIMEOUT_S)


@of_each_kind
async def test_a_clone_is_what_a_booted_node_is_file_by_file_and_service_by_service(
    bed: Bed, session: Session, user_data: dict[str, Any]
) -> None:
    try:
        await _apply(bed, session, StartMode.BOOT, user_data)
        booted = await _facts(session)
        await session.clusters.destroy(CLUSTER, remove_overlays=True)

        await _apply(bed, session, StartMode.CLONE, user_data)
        cloned = await _facts(session)
        only = [
            f"{name}: only {where}: {line}"
            for name in FACTS
            for where, has, lacks in (("booted", booted, cloned), ("cloned", cloned, booted))
            for line in sorted({*has[name]} - {*lacks[name]})
        ]
        assert not only, "\n".join(only)
    finally:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


_IN_MEMORY = """import os, uuid
table, at, template = open("/sys/firmware/dmi/tables/DMI", "rb").read(), 0, None
while table[at] != 1:
    at = table.index(b"\\0\\0", at + table[at + 1]) + 2
template = uuid.UUID(bytes_le=table[at + 8 : at + 24])
assert template.hex != open("/etc/machine-id").read().strip()
values = [template.bytes, template.hex.encode(), str(template).encode()]
values += [bytes(of) for of in (b"%c92.0.2.2" % 49, b"%crovisional-host" % 112, b"%cmcluster-template" % 118)]
searched = 0
for process in {entry for entry in os.listdir("/proc") if entry.isdigit()} - {str(os.getpid())}:
    try:
        name, maps = open(f"/proc/{process}/comm").read().strip(), open(f"/proc/{process}/maps").read()
        memory = open(f"/proc/{process}/mem", "rb", 0)
    except (FileNotFoundError, ProcessLookupError):
        continue
    for line in maps.splitlines():
        begin, end = (int(at, 16) for at in line.split()[0].split("-"))
        if "w" in line.split()[1]:
            memory.seek(begin)
            content = memory.read(end - begin)
            searched += len(content)
            for value in values:
                if value in content:
                    print(name, value)
assert searched > 1 << 20, searched"""
"""Prints the processes that have a value of the template's in their memory. (Its own text does not contain them.)"""


async def test_nothing_in_a_clone_of_a_machine_that_booted_completely_is_of_that_machine(
    bed: Bed, session: Session
) -> None:
    of_template = "-e 192.0.2. -e provisional -e vmcluster-template -e 00000000-0000-4000"
    try:
        await _apply(bed, session, StartMode.CLONE, {})
        # First: sshd keeps the commands that it was given, and the other one spells such values.
        in_memory = await session.nodes.run(
            CLUSTER, "n0", f"python3 -c {shlex.quote(_IN_MEMORY)}", timeout_s=BOOT_TIMEOUT_S
        )
        assert (in_memory.exit_code, in_memory.stdout) == (0, ""), in_memory
        search = f"grep -rlaF {of_template} /etc /home /root /run /var --exclude-dir=journal --exclude-dir=dpkg"
        found = await session.nodes.run(CLUSTER, "n0", search, timeout_s=BOOT_TIMEOUT_S)
        assert (found.exit_code, found.stdout) == (1, "")
        assert await _said(session, "n0", "journalctl -b -o cat _COMM=sshd | grep -c Accepted") == ["1"]
    finally:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


@of_each_kind
async def test_clones_of_one_template_have_identities_of_their_own_and_keep_them_through_a_power_cut(
    bed: Bed, session: Session, user_data: dict[str, Any]
) -> None:
    asked = "hostname; cat /etc/machine-id; ip -br address show eth0; head -c 16 /dev/urandom | base64"
    boot_id = "cat /proc/sys/kernel/random/boot_id"
    try:
        before = {*TEMPLATE_DIR.glob("*/template.json")}
        await _apply(bed, session, StartMode.CLONE, user_data, nodes=2)
        assert len({*TEMPLATE_DIR.glob("*/template.json")} - before) <= 1
        first, second = [await _said(session, node, asked) for node in ("n0", "n1")]
        assert not {*first} & {*second}
        assert await _said(session, "n0", boot_id) != await _said(session, "n1", boot_id)
        assert (await session.nodes.run(CLUSTER, "n0", "ping -c 1 -W 5 n1", timeout_s=60)).exit_code == 0
        assert (await session.clusters.plan(CLUSTER)).plan.converged

        await session.nodes.run(CLUSTER, "n0", "echo kept > /root/mark; sync", timeout_s=60)
        await session.snapshots.create(CLUSTER, "later", include_memory=True)
        await session.clusters.crash(CLUSTER, "n0", ssh_timeout_s=BOOT_TIMEOUT_S)
        assert (await _said(session, "n0", asked))[:3] == first[:3]
        assert await _said(session, "n0", "cat /root/mark; cloud-init status --wait >/dev/null; cloud-init status") == [
            "kept",
            "status: done",
        ]
        await session.snapshots.revert(CLUSTER, "later", ssh_timeout_s=BOOT_TIMEOUT_S)
        assert (await _said(session, "n1", asked))[:3] == second[:3]
    finally:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


@of_each_kind
async def test_a_clone_whose_start_is_killed_before_its_memory_is_restored_boots_with_an_identity_of_its_own(
    bed: Bed, session: Session, user_data: dict[str, Any]
) -> None:
    def killed_once_the_disk_is_filled(name: str) -> None:
        if name == "after fill:n0":
            os.kill(os.getpid(), signal.SIGKILL)

    async def start(running: Session) -> None:
        await running.clusters.start(CLUSTER, wait_for_ssh=False)

    bed.write_topology(CLUSTER, nodes=1, boots=True, edit=_starts(StartMode.CLONE, user_data))
    try:
        await session.clusters.define(CLUSTER)
        child = await asyncio.to_thread(run_in_child, bed, start, killed_once_the_disk_is_filled)
        assert await asyncio.to_thread(os.waitpid, child, 0) == (child, signal.SIGKILL)
        await session.clusters.start(CLUSTER, ssh_timeout_s=BOOT_TIMEOUT_S)
        machine_id, machine = await _said(session, "n0", "cat /etc/machine-id /sys/class/dmi/id/product_uuid")
        assert machine_id == machine.replace("-", ""), "it is the template's, or one that no clone would have"
        assert (await session.clusters.plan(CLUSTER)).plan.converged
    finally:
        await session.clusters.destroy(CLUSTER, remove_overlays=True)


async def _said(session: Session, node: str, command: str) -> list[str]:
    done = await session.nodes.run(CLUSTER, node, command, timeout_s=BOOT_TIMEOUT_S)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()
