"""A lab from the inside: the libvirt host that tests find there."""

import json
import sys
import time

from tests.integration.lab.conftest import Labs

# Generous: they catch the pathologies (a late reaper: 80 s; capabilities probed again at each call: 13 to 84 s).
SET_UP_LIMIT_S = 60.0
CALL_LIMIT_S = 12.0

ORPHAN_A_ZOMBIE = """
import os, subprocess, time
from pathlib import Path
pid = int(subprocess.check_output(["sh", "-c", "sleep 0.2 >/dev/null & echo $!"]))
assert Path(f"/proc/{pid}/stat").read_text().split()[3] == "1", "not an orphan"
started = time.monotonic()
while Path(f"/proc/{pid}").exists():
    time.sleep(0.005)
print(time.monotonic() - started)
"""

RESTART_LIBVIRTD = """
import libvirt
from tests.lab.daemons import start_libvirtd, stop_libvirtd
from tests.integration.lab.domains import PAUSED_DOMAIN
libvirt.open("qemu:///system").createXML(PAUSED_DOMAIN, libvirt.VIR_DOMAIN_START_PAUSED)
stop_libvirtd()
try:
    libvirt.open("qemu:///system")
except libvirt.libvirtError as error:
    print("away:", error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR)
start_libvirtd()
print([domain.name() for domain in libvirt.open("qemu:///system").listAllDomains()])
"""

START_A_NAT_NETWORK = """
import os
from pathlib import Path
import libvirt
network = libvirt.open("qemu:///system").networkCreateXML('''
<network>
  <name>labtest</name>
  <forward mode='nat'/>
  <bridge name='labtest0'/>
  <ip address='192.168.231.1' prefix='24'/>
</network>''')
assert sorted(os.listdir("/sys/class/net")) == ["labtest0", "lo"]
assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\\n"
network.destroy()
assert os.listdir("/sys/class/net") == ["lo"]
print("works")
"""

IS_A_HOST_OF_ITS_OWN = """
import os
from pathlib import Path
from tests.lab import WORK_DIR, inside_lab
assert inside_lab()
assert os.getppid() == 1, "processes"
assert sorted(os.listdir("/sys/class/net")) == ["lo"], "interfaces"
assert os.listdir("/sys/fs/cgroup") == [], "control groups"
for place in ("/etc/vmcluster", "/var/lib/vmcluster", os.environ["TMPDIR"], os.environ["HOME"]):
    assert os.listdir(place) == [], place
assert not Path("/run/dbus").exists()
assert WORK_DIR.stat().st_mode & 0o005 == 0o005, "QEMU's user cannot enter"
print("private")
"""


def test_trivial_guest_is_defined_started_and_destroyed_without_delay(labs: Labs) -> None:
    started = time.monotonic()
    done = labs.run(sys.executable, "-m", "tests.integration.lab.domains")
    total_s = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    durations_s = json.loads(done.stdout)
    print(f"lab with life cycle {total_s:.2f} s: {durations_s}")
    assert total_s < SET_UP_LIMIT_S
    assert max(durations_s.values()) < CALL_LIMIT_S


def test_orphans_are_reaped_the_moment_they_end(labs: Labs) -> None:
    done = labs.run_python(ORPHAN_A_ZOMBIE)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2.0


def test_guest_outlives_a_restart_of_libvirtd(labs: Labs) -> None:
    done = labs.run_python(RESTART_LIBVIRTD)
    assert done.stdout == f"away: True\n['lab-{labs.token}']\n", done.stderr


def test_nat_network_starts_and_touches_this_lab_only(labs: Labs) -> None:
    done = labs.run_python(START_A_NAT_NETWORK)
    assert done.stdout == "works\n", done.stderr


def test_lab_shows_nothing_of_the_host_around_it(labs: Labs) -> None:
    done = labs.run_python(IS_A_HOST_OF_ITS_OWN)
    assert done.stdout == "private\n", done.stderr


def test_lab_inside_a_lab_is_a_lab(labs: Labs) -> None:
    nested = [sys.executable, "-m", "tests.lab", "--", "sh", "-c", "virsh -c qemu:///system list --all --name; exit 9"]
    done = labs.run(*nested)
    assert (done.returncode, done.stdout.strip()) == (9, ""), done.stderr
