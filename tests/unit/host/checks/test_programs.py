from reconciler.host.checks.programs import PROGRAMS, Program, check_programs, install_command
from reconciler.host.checks.result import Verdict

ABSENT = "vmcluster-no-such-program"


def test_a_missing_program_that_machines_need_fails_with_its_package() -> None:
    essential, optional = check_programs([Program(ABSENT, "its-package")])
    assert (essential.verdict, optional.verdict) == (Verdict.FAILED, Verdict.OK)
    assert essential.remedy == "apt-get install --no-install-recommends its-package"


def test_a_program_that_one_feature_needs_is_a_warning_that_names_the_feature() -> None:
    essential, optional = check_programs([Program(ABSENT, "its-package", "one feature")])
    assert (essential.verdict, optional.verdict) == (Verdict.OK, Verdict.WARNING)
    assert optional.message == f"not installed: {ABSENT} (for one feature)"


def test_a_package_of_two_programs_is_installed_once() -> None:
    assert install_command([Program("a", "p"), Program("b", "p"), Program("c", "o")]).endswith("recommends o p")


def test_every_package_that_the_doctor_names_is_one_that_setup_installs(packages: set[str]) -> None:
    assert {program.package for program in PROGRAMS} <= packages
