"""Stop a boot right before cloud-init's first stage, until the seed says which machine this is.

The host saves the memory of a machine that waits here, and restores it in other machines, each with a seed and a
network card of its own. What this one has read of its identity is replaced here; cloud-init does the rest, as at a
boot.
"""

import importlib
import subprocess
import time

import machine

_POLL_S = 0.05
_PRELOADED = """
cloudinit.config.cc_bootcmd cloudinit.config.cc_disk_setup cloudinit.config.cc_mounts cloudinit.config.cc_set_hostname
cloudinit.config.cc_ssh cloudinit.config.cc_update_hostname cloudinit.config.cc_users_groups
cloudinit.config.cc_write_files cloudinit.distros.debian cloudinit.handlers.boot_hook cloudinit.handlers.cloud_config
cloudinit.handlers.jinja_template cloudinit.handlers.shell_script cloudinit.handlers.shell_script_by_frequency
cloudinit.mergers.m_dict cloudinit.mergers.m_list cloudinit.mergers.m_str cloudinit.net.activators
cloudinit.net.networkd cloudinit.netinfo cloudinit.reporting.handlers cloudinit.sources.DataSourceNoCloud
"""


def wait_for_identity(seed: str) -> None:
    """Wait for another seed in its place, and take over what belongs to the machine that this one is then."""
    machine.require_devices()
    for module in _PRELOADED.split():
        importlib.import_module(module)
    while _others_start():
        time.sleep(_POLL_S)
    devices = machine.without_devices(seed)
    journald = machine.without_an_id()
    machine.wait_for_another_seed(seed)
    machine.bind(devices)
    machine.become(_instance_in(seed))
    journald.let_go()


def _others_start() -> bool:
    """Whether any unit but the one that waits is still being started."""
    listed = subprocess.run(["systemctl", "list-jobs", "--no-legend"], capture_output=True, text=True, check=True)
    jobs = [line.split() for line in listed.stdout.splitlines()]
    return any(job[3] == "running" and job[1] != "cloud-init-local.service" for job in jobs)


def _instance_in(seed: str) -> str:
    with open(seed, "rb") as file:
        return file.read().split(b"instance-id: ", 1)[1][:40].decode()
