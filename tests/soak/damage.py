"""Damage to the host and to the service, of which neither is told."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_never

import libvirt

from tests.integration.bed import Bed, host_libvirt
from tests.lab.daemons import start_libvirtd, stop_libvirtd
from tests.soak.clients import CLUSTER
from tests.soak.script import Damage, Step

RESYNC_S = 2.0
_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 60.0


class WatchedHost:
    """`vmcluster watch` on a bed, which can be stopped and started again; all runs log to one file."""

    def __init__(self, bed: Bed) -> None:
        self.log = bed.directory / "watch.log"
        self._bed = bed
        self._process: subprocess.Popen[bytes] | None = None
        self._logged_before = 0

    def start(self) -> None:
        """Start the service unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self._logged_before = self.log.stat().st_size if self.log.exists() else 0
        command = [str(Path(sys.executable).parent / "vmcluster"), "watch", "--resync", str(RESYNC_S)]
        with self.log.open("ab") as stderr:
            self._process = subprocess.Popen(command, env=self._bed.environment, stderr=stderr)

    def end(self, number: signal.Signals) -> None:
        """End it with a signal. Told to end while it serves, it ends well; while it comes up, as any program does."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.poll() is None, f"the service has ended by itself with {process.returncode}"
        served = self.serves
        process.send_signal(number)
        code = process.wait(_END_TIMEOUT_S)
        ended_well = {0} if served else {0, -signal.SIGTERM}
        assert code in (ended_well if number is signal.SIGTERM else {-number}), f"the service ended with {code}"

    @property
    def serves(self) -> bool:
        """Whether it has reported that it is watching since its last start."""
        return self.log.exists() and b'"watching"' in self.log.read_bytes()[self._logged_before :]

    def complaints(self) -> list[str]:
        """What the service has logged that can only come from a defect."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        errors = [line for line in lines if line.startswith("{") and json.loads(line).get("level") == "error"]
        return errors + [line for line in lines if line.startswith("Traceback")]


def inflict(step: Step, service: WatchedHost) -> None:
    """Do a step's damage; if there is nothing to damage, do nothing."""
    time.sleep(step.after_s)
    match step.damage:
        case None:
            return
        case Damage.SERVICE_KILLED | Damage.SERVICE_ENDED:
            service.end(signal.SIGKILL if step.damage is Damage.SERVICE_KILLED else signal.SIGTERM)
            time.sleep(step.away_s)
            service.start()
        case Damage.LIBVIRTD_KILLED | Damage.LIBVIRTD_ENDED:
            stop_libvirtd(signal.SIGKILL if step.damage is Damage.LIBVIRTD_KILLED else signal.SIGTERM)
            time.sleep(step.away_s)
            start_libvirtd()
        case Damage.RULES_FLUSHED:
            for table in bridge_tables():
                subprocess.run(["nft", "delete", "table", "bridge", table], capture_output=True, check=False)
        case Damage.QUEUES_DELETED:
            for tap in taps():
                subprocess.run(["tc", "qdisc", "del", "dev", tap, "root"], capture_output=True, check=False)
        case Damage.TAP_UNPLUGGED:
            for tap in taps()[:1]:
                subprocess.run(["ip", "link", "set", tap, "nomaster"], capture_output=True, check=False)
        case Damage.DOMAIN_DESTROYED | Damage.DOMAIN_UNDEFINED | Damage.DOMAIN_ALTERED | Damage.NETWORK_STOPPED:
            _damage_in_libvirt(step.damage, step.pick)
        case _:
            assert_never(step.damage)


def taps() -> list[str]:
    """Every tap of the lab."""
    return sorted(path.parent.name for path in Path("/sys/class/net").glob("*/tun_flags"))


def bridge_tables() -> list[str]:
    """Every table of the bridge family. Those of libvirt are in other families: without them it starts no network."""
    listed = subprocess.run(["nft", "list", "tables", "bridge"], capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in listed.splitlines()]


def _damage_in_libvirt(damage: Damage, pick: int) -> None:
    """Ignore what has disappeared in the meantime."""
    with host_libvirt() as handle:
        try:
            if damage is Damage.NETWORK_STOPPED:
                handle.networkLookupByName(f"net-{CLUSTER}").destroy()
            elif domains := sorted(handle.listAllDomains(), key=lambda of: of.name()):
                _DAMAGES[damage](handle, domains[pick % len(domains)])
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _WENT:
                raise


def _destroy(_handle: Any, domain: Any) -> None:
    domain.destroy()


def _undefine(_handle: Any, domain: Any) -> None:
    domain.undefine()


def _alter(handle: Any, domain: Any) -> None:
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    handle.defineXML(xml.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"))


_DAMAGES: dict[Damage, Callable[[Any, Any], None]] = {
    Damage.DOMAIN_DESTROYED: _destroy,
    Damage.DOMAIN_UNDEFINED: _undefine,
    Damage.DOMAIN_ALTERED: _alter,
}

_WENT = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID})


def wait_until_it_serves(service: WatchedHost) -> None:
    """Wait until the service reports that it is watching."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not service.serves:
        assert time.monotonic() < deadline, "the service does not come up"
        time.sleep(0.05)
