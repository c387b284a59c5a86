"""The short form: what depends on libvirt, QEMU, nft, tc and Python, in at most five minutes.

Inside, `python -m tests.other_release.short STAGE IMAGE_DIR` runs a stage, up to the first part that fails.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests import archives
from tests.other_release.releases import is_newer

EARLIER = "VMCLUSTER_TEST_EARLIER"
"""In the environment inside: the archive with the cluster that was made on the host's release."""

_INTEGRATION = "tests/integration"

CODEC_TESTS = ("tests/unit/host",)
"""The codecs, with the samples of these tools, which were taken just before."""

HOST_TESTS = (
    f"{_INTEGRATION}/guest/test_recovery.py::test_waiting_in_vain_says_why",
    f"{_INTEGRATION}/links/test_cuts.py::test_a_cut_separates_exactly_its_pairs_and_heals",
    f"{_INTEGRATION}/links/test_cuts.py::test_nothing_is_run_where_nothing_differs",
    f"{_INTEGRATION}/links/test_cuts.py::test_what_is_somebody_elses_is_never_touched",
    f"{_INTEGRATION}/links/test_cuts.py::test_what_others_flush_is_a_difference_and_put_back",
    f"{_INTEGRATION}/links/test_kernel.py",
    f"{_INTEGRATION}/links/test_taps.py::test_a_change_of_cuts_and_of_many_taps_takes_two_commands",
    f"{_INTEGRATION}/links/test_taps.py::test_the_queue_that_was_there_is_put_back",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_a_restored_machine_is_exact_paused_and_as_it_is_defined",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_flattening_shortens_the_chain_and_changes_no_content",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_memory_of_a_newer_qemu_is_refused_by_name_before_anything_runs",
)
"""Drivers on real tools, without a guest that boots."""

GUEST_TESTS = (
    f"{_INTEGRATION}/guests/test_trio.py::test_all_nodes_run_and_answer",
    f"{_INTEGRATION}/guests/test_trio.py::test_a_running_cluster_applied_again_has_nothing_to_do",
    f"{_INTEGRATION}/guests/test_trio.py::test_a_handle_lets_the_systems_ssh_in_without_a_question",
    f"{_INTEGRATION}/guests/test_workflow.py",
    f"{_INTEGRATION}/guests/test_faults.py::test_connections_stall_under_a_cut_and_go_on_when_it_is_healed",
    f"{_INTEGRATION}/guests/test_kernel_log.py::test_everything_since_the_boot_is_there_from_the_first_line_on",
    f"{_INTEGRATION}/guests/test_snapshots.py::test_the_agent_of_a_guest_steps_its_clock",
)
"""On one cluster that is booted once; the acceptance path has a memory, a partition, a crash, kernel logs, a revert."""


UPGRADE_TESTS = ("tests/other_release/upgrade.py",)
DOWNGRADE_TESTS = ("tests/other_release/downgrade.py",)

HOST_STAGE, GUEST_STAGE = "host", "guests"
"""What can be done while the cluster to take up is made, and what is done then."""


def in_a_lab(python: str, images: Path, command: Sequence[str]) -> list[str]:
    """That command beside a libvirt of its own."""
    return [python, "-m", "tests.lab", "--image-dir", str(images), "--", *command]


def makes_earlier(python: str, archive: Path) -> list[str]:
    """What makes, on the host's release, the cluster that the other one takes up."""
    return [python, "-m", "tests.other_release.earlier", str(archive)]


def stages(python: str, images: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """The commands of each stage, with what they are about, as seen from inside."""
    taken_up = UPGRADE_TESTS if is_newer(archives.os_release()) else DOWNGRADE_TESTS
    pytest = [python, "-m", "pytest", "-q", "-x", "--durations=5", "--durations-min=1"]
    return {
        HOST_STAGE: [
            ("what the tools print", in_a_lab(python, images, [python, "-m", "tests.golden_samples"])),
            ("codecs", [*pytest, *CODEC_TESTS]),
            ("drivers", in_a_lab(python, images, [*pytest, *HOST_TESTS])),
        ],
        GUEST_STAGE: [
            ("a cluster of the host's release", in_a_lab(python, images, [*pytest, *taken_up])),
            ("three nodes that boot", in_a_lab(python, images, [*pytest, *GUEST_TESTS])),
        ],
    }


def main(stage: str, images: Path) -> int:
    """Run a stage; the exit code of the first part that fails, or 0."""
    for name, command in stages(sys.executable, images)[stage]:
        print(f"\033[1m==> on the other release: {name}\033[0m", file=sys.stderr, flush=True)
        code = subprocess.run(command, check=False).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
