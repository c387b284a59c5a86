"""The smallest possible guest: no disk, no network, emulated, and paused, so it uses no processor time."""

import json
import os
import time
from collections.abc import Callable

import libvirt

from tests.integration.lab.residue import TOKEN

DOMAIN_NAME = f"lab-{os.environ[TOKEN]}"

PAUSED_DOMAIN = f"""
<domain type='qemu'>
  <name>{DOMAIN_NAME}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
</domain>
"""


def measure_life_cycle() -> dict[str, float]:
    """Define, start (paused), destroy and undefine the guest; returns the seconds that each call took."""
    connection = libvirt.open("qemu:///system")
    domain = connection.defineXML(PAUSED_DOMAIN)
    domain.undefine()
    durations_s: dict[str, float] = {}

    def timed(name: str, call: Callable[[], object]) -> None:
        started = time.monotonic()
        call()
        durations_s[name] = round(time.monotonic() - started, 4)

    timed("define", lambda: connection.defineXML(PAUSED_DOMAIN))
    domain = connection.lookupByName(DOMAIN_NAME)
    timed("start", lambda: domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED))
    assert domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    timed("destroy", domain.destroy)
    timed("undefine", domain.undefine)
    return durations_s


if __name__ == "__main__":
    print(json.dumps(measure_life_cycle()))
