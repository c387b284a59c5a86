import json
from pathlib import Path

import pytest

from reconciler.host.checks.required_programs import PROGRAMS, Program, check_firmware, check_programs, install_command
from reconciler.model.examination import CheckOutcome

ABSENT = "vmcluster-no-such-program"


def test_a_missing_program_that_machines_need_fails_with_its_package() -> None:
    essential, optional = check_programs([Program(ABSENT, "its-package")])
    assert (essential.verdict, optional.verdict) == (CheckOutcome.FAILED, CheckOutcome.OK)
    assert essential.remedy == "apt-get install --no-install-recommends its-package"


def test_a_program_that_one_feature_needs_is_a_warning_that_names_the_feature() -> None:
    essential, optional = check_programs([Program(ABSENT, "its-package", "one feature")])
    assert (essential.verdict, optional.verdict) == (CheckOutcome.OK, CheckOutcome.WARNING)
    assert optional.message == f"not installed: {ABSENT} (for one feature)"


def test_a_package_of_two_programs_is_installed_once() -> None:
    assert install_command([Program("a", "p"), Program("b", "p"), Program("c", "o")]).endswith("recommends o p")


def test_every_package_that_the_doctor_names_is_one_that_setup_installs(packages: set[str]) -> None:
    assert {program.package for program in PROGRAMS} <= packages


@pytest.mark.parametrize(
    ("described", "verdict"),
    [
        ({"interface-types": ["uefi"], "targets": [{"architecture": "x86_64"}]}, CheckOutcome.OK),
        ({"interface-types": ["uefi"], "targets": [{"architecture": "aarch64"}]}, CheckOutcome.WARNING),
        ({"interface-types": ["bios"], "targets": [{"architecture": "x86_64"}]}, CheckOutcome.WARNING),
        ([1], CheckOutcome.WARNING),
    ],
)
def test_uefi_is_there_where_a_description_of_it_is(
    tmp_path: Path, described: object, verdict: CheckOutcome, packages: set[str]
) -> None:
    (tmp_path / "60-edk2.json").write_text(json.dumps(described))
    (tmp_path / "broken.json").write_text("{")
    found = check_firmware([tmp_path / "none", tmp_path])
    assert found.verdict is verdict
    assert "ovmf" in packages
    assert verdict is CheckOutcome.OK or (found.remedy or "").endswith("ovmf")
