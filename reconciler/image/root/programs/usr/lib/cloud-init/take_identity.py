"""Boot a machine under a provisional identity; then have it become the machine whose seed it finds.

cloud-init has run under the provisional identity, from a seed that differs from a node's in the node's own values and
in nothing else. So each file that it wrote has a node's content once these values are replaced in it.
"""

import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable

import blanks
import machine
import made_files
from held_back import hold_back

VALUES = "provisional.json"
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
_HOSTS = "/etc/hosts"
_LABEL_LINK = "/dev/disk/by-label/cidata"
_DONE = "/run/cloud-init/result.json"
_CARD = "eth0"
_RTMGRP_IPV4_IFADDR, _RTMGRP_IPV4_ROUTE, _MESSAGE_BYTES = 0x10, 0x40, 1 << 16
_DISCARD = 9
_ETH_P_ARP, _ETHERNET, _IPV4, _REQUEST = 0x0806, 1, 0x0800, 1
_JOBS_POLL_S, _PATIENCE_S = 0.2, 60.0


def boot_on(seed: str, first_stage: Callable[[], int], keep_logins: Callable[[], None]) -> int:
    """Run cloud-init's first stage with this seed. A child of this process waits for another seed in its place."""
    source = importlib.import_module("cloudinit.sources.DataSourceNoCloud").DataSourceNoCloud
    source._get_devices = lambda _self, _label: [seed]  # noqa: SLF001  (it looks for another label)
    os.symlink(seed, _LABEL_LINK)  # where mount(8) looks for it
    hosts, began = machine.read(_HOSTS), time.time()
    status = first_stage()
    if os.fork() == 0:
        machine.try_to_wait(lambda: _become_another(seed, hosts, began, keep_logins))
        os._exit(0)
    return status


def _become_another(seed: str, hosts: str, began: float, keep_logins: Callable[[], None]) -> None:
    _leave_the_unit()
    machine.require_devices()
    while not os.path.exists(_DONE) or _jobs():
        time.sleep(_JOBS_POLL_S)
    provisional = machine.files_in(seed)
    values = json.loads(provisional.pop(VALUES))
    finders = {name: blanks.finder_of(blanks.form_of(text, values)) for name, text in provisional.items()}
    devices = machine.without_devices(seed)
    sshd = hold_back("ssh.service", _HOST_KEY, _read_host_key_again)
    made = list(made_files.made_since(began, values))
    for file in reversed(made):
        file.remove()
    machine.write(_HOSTS, hosts)
    os.unlink(_LABEL_LINK)
    networkd = hold_back("systemd-networkd.service", "/etc/systemd/networkd.conf")
    journald = machine.without_an_id()
    machine.wait_for_another_seed(seed)
    try:
        files = machine.files_in(seed)
        own = {name: value for file, find in finders.items() for name, value in find(files[file]).items()}
        machine.become(own["instance_id"])
        for file in made:
            file.write(own)
        machine.set_host_name(own["node"])
        sshd.let_go()
        changes = _changes_of_networks()
        machine.bind(devices)
        networkd.let_go()
        journald.let_go()
        keep_logins()
    except Exception as error:
        machine.say(f"this machine boots, as it cannot become another: {error!r}")
        machine.write("/proc/sysrq-trigger", "b")
    _announce(own["ip"], changes)


def _read_host_key_again() -> None:
    os.kill(int(machine.read("/run/sshd.pid")), signal.SIGHUP)


def _leave_the_unit() -> None:
    """The output of the unit's process goes on without this one."""
    for stream in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)


def _jobs() -> bytes:
    """Units that are still to be started."""
    return subprocess.run(["systemctl", "list-jobs", "--no-legend"], capture_output=True, check=True).stdout


def _announce(ip: str, changes: socket.socket) -> None:
    """Announce this machine's address once it can answer: its neighbours then send what they have queued for it.

    A machine whose cable is pulled gets no address, and announces none.
    """
    try:
        while not _reaches_neighbours(ip):
            changes.recv(_MESSAGE_BYTES)
    except TimeoutError:
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((_CARD, _ETH_P_ARP))
        mac, address = link.getsockname()[4], socket.inet_aton(ip)
        kind = struct.pack("!HHHBBH", _ETH_P_ARP, _ETHERNET, _IPV4, len(mac), len(address), _REQUEST)
        link.send(b"\xff" * len(mac) + mac + kind + mac + address + bytes(len(mac)) + address)


def _reaches_neighbours(ip: str) -> bool:
    """Whether the address is this machine's, and there is a route to its network, which networkd adds later."""
    neighbour = bytes([*(own := socket.inet_aton(ip))[:-1], own[-1] ^ 1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.bind((ip, 0))
            unsent.connect((socket.inet_ntoa(neighbour), _DISCARD))
        except OSError:
            return False
    return True


def _changes_of_networks() -> socket.socket:
    """Where the kernel tells of new addresses and routes (rtnetlink(7))."""
    changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    changes.bind((0, _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE))
    changes.settimeout(_PATIENCE_S)
    return changes
