"""One cluster over three hosts, shown from the outside: `make demo-hosts`, in a lab with `--hosts 3`.

Every step is a command that is printed with the host it runs on. The demo ends at the first failure.
"""

import subprocess
import sys
from pathlib import Path

from tests.lab import WORK_DIR
from tests.lab.hosts import MEMBERS, Hosts, LabHost, found_hosts
from tests.waiting import wait_until

CLUSTER = "example-3node"
_TOPOLOGY = Path(__file__).parents[2] / "specs" / "topologies" / f"{CLUSTER}.yaml"
_TIMEOUT_S = "600"
_A_HOST_IS_MISSED_S = 120.0
_BACK_S = 300.0


def main() -> int:
    """Run the demo; the exit code is not 0 if a step failed."""
    hosts = found_hosts()
    if hosts is None:
        sys.exit("this is not a lab with hosts: `make demo-hosts` starts one")
    logs = {host.name: WORK_DIR / f"{host.name}.log" for host in hosts.hosts}
    for host in hosts.hosts:  # they end with the lab
        with logs[host.name].open("wb") as output:
            host.start("vmcluster", "watch", output=output)
    try:
        _show(hosts)
    except (subprocess.CalledProcessError, AssertionError) as error:
        say(f"failed: {error}")
        for name, log in logs.items():
            print(f"--- vmcluster watch on {name}\n{log.read_text()[-2000:]}")
        return 1
    return 0


def _show(hosts: Hosts) -> None:
    first, second, third = hosts.hosts
    spread = f"{_TOPOLOGY.read_text()}\nplacement: spread\n"
    first.inside(f"/etc/vmcluster/topologies/{CLUSTER}.yaml").write_text(spread)
    say("three hosts share an etcd of three members")
    wait_until(lambda: _ready(first) == len(hosts.hosts))
    on(first, "host", "list")
    say("one cluster of three nodes, a node on each")
    on(first, "apply", CLUSTER, "--timeout", _TIMEOUT_S)
    on(second, "status", CLUSTER)
    say("a command on every node, from a third host")
    on(third, "exec", CLUSTER, "--all", "--", "uname -r")
    say("a partition between hosts, measured, and healed")
    on(second, "fault", "partition", CLUSTER, "controller", "worker-0,worker-1")
    on(first, "fault", "verify", CLUSTER)
    on(second, "fault", "heal", CLUSTER, "--all")
    on(first, "fault", "verify", CLUSTER)
    say("one moment of all nodes, with memory, and back to it")
    on(first, "snapshot", "create", CLUSTER, "before", "--memory")
    on(third, "exec", CLUSTER, "--all", "--", "touch /root/after")
    on(second, "snapshot", "revert", CLUSTER, "before", "--yes")
    on(third, "exec", CLUSTER, "--all", "--", "test ! -e /root/after && echo as before")
    say(f"{third.name} is lost: its network, and with it etcd")
    others = [host.name for host in hosts.hosts if host is not third]
    hosts.separate(((third.name,), (*others, *(f"etcd{number}" for number in range(1, MEMBERS + 1)))))
    wait_until(lambda: _ready(first) == len(others), timeout_s=_A_HOST_IS_MISSED_S)
    on(first, "host", "list")
    on(first, "status", CLUSTER, check=False)
    say(f"{third.name} is back")
    hosts.separate()
    wait_until(lambda: _ready(first) == len(hosts.hosts), timeout_s=_BACK_S)
    on(first, "apply", CLUSTER, "--timeout", _TIMEOUT_S)
    on(first, "host", "list")
    on(first, "status", CLUSTER)
    say("all of it is removed")
    on(second, "destroy", CLUSTER, "--remove-overlays", "--yes")


def say(text: str) -> None:
    print(f"\033[1m==> {text}\033[0m", flush=True)


def on(host: LabHost, *arguments: str, check: bool = True) -> None:
    """Run a command of vmcluster on a host."""
    print(f"\033[2m{host.name}#\033[0m vmcluster {' '.join(arguments)}", flush=True)
    subprocess.run(host.command("vmcluster", *arguments), stdin=subprocess.DEVNULL, check=check)


def _ready(host: LabHost) -> int:
    """The number of hosts, as that host sees it."""
    return host.run("vmcluster", "host", "list", check=False).stdout.count(" Ready ")


if __name__ == "__main__":
    sys.exit(main())
