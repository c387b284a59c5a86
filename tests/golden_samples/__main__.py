"""`python -m tests.golden_samples`, in a lab."""

import sys

from tests.golden_samples import disks, firewall, machines
from tests.lab import inside_lab


def main() -> None:
    """Take every sample that needs no guest."""
    if not inside_lab():
        sys.exit("in a lab only, as it flushes firewalls: python -m tests.lab -- python -m tests.golden_samples")
    for sample in (*firewall.take(), *machines.take(), *disks.take()):
        sample.path.parent.mkdir(exist_ok=True)
        sample.write()
        print(sample.path.name)


if __name__ == "__main__":
    main()
