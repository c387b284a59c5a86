"""The short form: what depends on libvirt, QEMU, nft, tc and Python, in at most five minutes and with one boot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

EARLIER = "VMCLUSTER_TEST_EARLIER"
"""In the environment inside: the archive with the cluster that was made on the host's release."""

_INTEGRATION = "tests/integration"

HOST_TESTS = (
    "tests/unit/host",
    f"{_INTEGRATION}/links/test_cuts.py",
    f"{_INTEGRATION}/links/test_kernel.py",
    f"{_INTEGRATION}/links/test_taps.py::test_a_change_of_cuts_and_of_many_taps_takes_two_commands",
    f"{_INTEGRATION}/links/test_taps.py::test_the_queue_that_was_there_is_put_back",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_a_restored_machine_is_exact_paused_and_as_it_is_defined",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_flattening_shortens_the_chain_and_changes_no_content",
    f"{_INTEGRATION}/snapshots/test_driver.py::test_memory_of_a_newer_qemu_is_refused_by_name_before_anything_runs",
)
"""The codecs with their golden samples, and drivers on real tools, without a guest that boots."""

GUEST_TESTS = (
    f"{_INTEGRATION}/guests/test_trio.py::test_all_nodes_run_and_answer",
    f"{_INTEGRATION}/guests/test_trio.py::test_a_running_cluster_applied_again_has_nothing_to_do",
    f"{_INTEGRATION}/guests/test_trio.py::test_a_handle_lets_the_systems_ssh_in_without_a_question",
    f"{_INTEGRATION}/guests/test_workflow.py",
    f"{_INTEGRATION}/guests/test_kernel_log.py::test_everything_since_the_boot_is_there_from_the_first_line_on",
    f"{_INTEGRATION}/guests/test_snapshots.py::test_the_agent_of_a_guest_steps_its_clock",
)
"""On one cluster, which is booted once: the acceptance path has memory, a partition, a crash, logs and a revert."""


def in_a_lab(python: str, images: Path, command: Sequence[str]) -> list[str]:
    """That command beside a libvirt of its own."""
    return [python, "-m", "tests.lab", "--image-dir", str(images), "--", *command]


def makes_earlier(python: str, archive: Path) -> list[str]:
    """What makes, on the host's release, the cluster that the other one takes up."""
    return [python, "-m", "tests.other_release.earlier", str(archive)]


def short_form(python: Path, images: Path) -> Iterator[tuple[str, list[str]]]:
    """Each part of it with its name."""
    pytest = [str(python), "-m", "pytest", "-q", "-x"]
    yield "what the tools print", in_a_lab(str(python), images, [*pytest, *HOST_TESTS])
    yield "three booted nodes", in_a_lab(str(python), images, [*pytest, *GUEST_TESTS])
    yield "the upgrade", in_a_lab(str(python), images, [*pytest, "tests/other_release/upgrade.py"])
