"""`python -m tests.golden_samples [--guest]`, in a lab."""

import asyncio
import sys
from collections.abc import Iterator

from tests.golden_samples import Sample, disks, firewall, machines, queues, tunnels
from tests.lab import inside_lab


def main() -> None:
    """Take every sample that needs no guest; with `--guest`, those that do."""
    if not inside_lab():
        sys.exit("in a lab only, as it flushes firewalls: python -m tests.lab -- python -m tests.golden_samples")
    for sample in _taken(in_guest=sys.argv[1:] == ["--guest"]):
        sample.path.parent.mkdir(exist_ok=True)
        sample.write()
        print(sample.path.name)


def _taken(*, in_guest: bool) -> Iterator[Sample]:
    if in_guest:
        yield asyncio.run(queues.take())
        return
    yield from firewall.take()
    yield from machines.take()
    yield from disks.take()
    yield from tunnels.take()


if __name__ == "__main__":
    main()
