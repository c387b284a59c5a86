"""What real tools print, for the tests of codecs: `python -m tests.golden_samples`, in a lab, takes all samples again.

Each is a file in a `golden` folder beside its test, stamped with the tool and its version, so that releases stand side
by side and a test goes through all of them. On a release that has no samples yet they are added, where it has some they
are replaced: beside dates, handles and random addresses, git shows what has changed.

    firewall  nft and iptables, in a network namespace of their own
    machines  libvirt's domains and networks
    disks     qemu-img
    tunnels   ip and bridge
    queues    tc with netem (`--guest`): in a guest, whose kernel has it whatever the host's can do
"""

from dataclasses import dataclass
from pathlib import Path

UNIT_TESTS = Path(__file__).parents[1] / "unit" / "host"


@dataclass(frozen=True)
class Sample:
    """What a tool printed, and where that is kept."""

    path: Path
    text: str

    def write(self) -> None:
        """Keep it."""
        self.path.write_text(self.text)
