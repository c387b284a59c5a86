"""A lab with several hosts: what each has of its own, what they share, and who hears whom."""

import sys

from tests.integration.lab.conftest import Labs

TWO_HOSTS = """
import os, signal, sys
from tests.lab.hosts import found_hosts
from tests.waiting import wait_until
hosts = found_hosts()
assert [host.name for host in hosts.hosts] == ["host1", "host2"]
SERVE = "import socket; s = socket.create_server(('', 7000)); print('serving', flush=True)\\nwhile True: s.accept()"
ASK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"

def hears(host, address, port):
    return host.run(sys.executable, "-c", ASK, address, str(port), check=False).returncode == 0

server = hosts[2].start(sys.executable, "-c", SERVE)
wait_until(lambda: hears(hosts[1], hosts[2].address, 7000))
hosts.separate((("host1",), ("host2", "etcd1")))
assert not hears(hosts[1], hosts[2].address, 7000)
assert not hears(hosts[1], "10.88.0.101", 2379) and hears(hosts[1], "10.88.0.102", 2379)
assert hears(hosts[2], "10.88.0.101", 2379)
hosts.separate()
assert hears(hosts[1], hosts[2].address, 7000)

os.kill(server.pid, signal.SIGKILL)
assert server.entering.wait() != 0
assert not hears(hosts[1], hosts[2].address, 7000)

DOMAIN = "<domain type='qemu'><name>one</name><memory>65536</memory><os><type>hvm</type></os></domain>"
hosts[1].run("sh", "-c", f"cat >/run/one.xml <<END\\n{DOMAIN}\\nEND")
hosts[1].run("virsh", "define", "/run/one.xml")
assert hosts[1].run("virsh", "list", "--all", "--name").stdout.split() == ["one"]
assert hosts[2].run("virsh", "list", "--all", "--name").stdout.split() == []
for host in hosts.hosts:
    assert "no clusters" in host.run("vmcluster", "status").stdout
print("two hosts")
"""


def test_hosts_have_a_libvirt_each_share_an_etcd_and_hear_each_other_unless_separated(labs: Labs) -> None:
    done = labs.run(sys.executable, "-c", TWO_HOSTS, options=("--hosts", "2"))
    assert (done.returncode, done.stdout) == (0, "two hosts\n"), done.stderr


def test_a_host_that_the_lab_does_not_have_is_refused(labs: Labs) -> None:
    done = labs.run(sys.executable, "-m", "tests.lab.on", "1", "--", "true")
    assert done.returncode == 2
    assert "not a lab with hosts" in done.stderr
