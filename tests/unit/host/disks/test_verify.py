"""What qemu-img finds in images, from what it printed of them."""

from pathlib import Path

import pytest

from reconciler.host.disks.verify import finding
from reconciler.process import Completed

GOLDEN = Path(__file__).parent / "golden"


def checked(stdout: bytes, stderr: bytes = b"") -> Completed:
    return Completed(("qemu-img", "check"), 2, stdout, stderr, 0.0)


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("check-damaged.*")), ids=lambda path: path.stem)
def test_errors_in_the_tables_of_an_image_are_counted(sample: Path) -> None:
    assert finding(checked(sample.read_bytes())) == "qemu-img check finds 2 errors in its tables"


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("check-[ls]*")), ids=lambda path: path.stem)
def test_a_report_without_errors_leaves_it_to_the_exit_code(sample: Path) -> None:
    assert finding(checked(sample.read_bytes())) == "qemu-img check ends with 2"


def test_a_check_that_could_not_be_made_says_why() -> None:
    assert finding(checked(b"", b"Could not open it: Permission denied\n")) == "Could not open it: Permission denied"
