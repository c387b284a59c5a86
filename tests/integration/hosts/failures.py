"""`python -m tests.integration.hosts.failures [--seconds S] [--seed N]`: failures of three hosts and etcd, in a lab.

The seed that it prints repeats it.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.integration.hosts import failing_hosts as acts
from tests.integration.hosts.failing_hosts import FAILURES, Act, FailingHosts
from tests.integration.hosts.idle_cluster import running_over
from tests.lab import WORK_DIR
from tests.lab.hosts import Hosts, running_hosts

COUNT = 3
_MOST_SNAPSHOTS = 3


def acts_of(chance: Random, hosts: Hosts) -> Iterator[Act]:
    """What users ask for, one after the other, without end."""
    snapshots: list[str] = []
    taken = 0
    while True:
        match chance.choice(("cycle", "stop", "split", "snapshot", "snapshot", "revert", "revert", "delete")):
            case "cycle":
                yield acts.CYCLE
            case "stop":
                yield acts.STOP
                yield acts.START
            case "split":
                yield acts.SPLIT
                yield acts.HEAL
            case "snapshot" if len(snapshots) < _MOST_SNAPSHOTS:
                taken += 1
                snapshots.append(f"s{taken}")
                yield acts.snapshot(snapshots[-1], memory=chance.random() < 0.3)
            case "revert" if snapshots:
                yield acts.revert(chance.choice(snapshots), hosts)
            case "delete" if snapshots:
                yield acts.deletion(snapshots.pop(chance.randrange(len(snapshots))))


async def _fail(world: FailingHosts, seed: int, seconds: float) -> None:
    chance, until_s = Random(seed), time.monotonic() + seconds
    try:
        for act in acts_of(chance, world.hosts):
            if time.monotonic() > until_s:
                return
            number, failure = chance.randint(1, COUNT), chance.choice(list(FAILURES))
            place, began_s = chance.randrange(act.boundaries), time.monotonic()
            print(f"{act.name}: host{number} {failure} at boundary {place}", end="", flush=True)
            came = await world.failing(act, number, failure, count=place)
            print(f": {time.monotonic() - began_s:.1f} s{'' if came else ', never there'}", flush=True)
    finally:
        await world.close()


def main() -> int:
    """Let things fail; the exit code is 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    print(f"failures: seed {options.seed}, {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory(dir=WORK_DIR) as directory, running_hosts(COUNT, Path(directory), None) as hosts:
        logs = Path(directory, "logs")
        logs.mkdir()
        with running_over(hosts, acts.CLUSTER, acts.WHERE, lambda host: acts.start_controller(host, logs)) as running:
            try:
                asyncio.run(_fail(FailingHosts(hosts, running, logs), options.seed, options.seconds))
            except AssertionError as error:
                said = [f"--- {log.name}\n{log.read_text()[-20000:]}" for log in sorted(logs.iterdir())]
                print(f"\nFAILED: {error}", *said, sep="\n", flush=True)
                return 1
    print("failures: nothing amiss")
    return 0


if __name__ == "__main__":
    sys.exit(main())
