"""What is to be installed on which distribution."""

import pytest

from reconciler.errors import HostCommandFailed
from reconciler.host.checks.distribution import (
    LinuxFamily,
    distribution_of,
    install_debian_packages,
    missing_packages,
)
from reconciler.host.checks.required_programs import Program
from reconciler.programs import find_program

needs_apt = pytest.mark.skipif(find_program("apt-get") is None, reason="there is no apt here")
ABSENT = Program("no-such-program-anywhere", "no-such-package")
OPTIONAL = Program("no-such-program-either", "another-package", "a feature")


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("ID=debian\nVERSION_ID=12\n", LinuxFamily.DEBIAN),
        ('ID=ubuntu\nID_LIKE=debian\nNAME="Ubuntu"\n', LinuxFamily.DEBIAN),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', LinuxFamily.DEBIAN),
        ("ID=fedora\n", LinuxFamily.FEDORA),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', LinuxFamily.FEDORA),
        ("ID=arch\n", LinuxFamily.ARCH),
        ("ID=manjaro\nID_LIKE=arch\n", LinuxFamily.ARCH),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', LinuxFamily.SUSE),
        ("ID=alpine\n", LinuxFamily.OTHER),
        ("", LinuxFamily.OTHER),
    ],
)
def test_a_distribution_is_known_by_what_it_is_or_is_like(text: str, family: LinuxFamily) -> None:
    assert distribution_of(text) is family


def test_debian_is_told_the_packages_that_are_missing_and_no_others() -> None:
    found = missing_packages(LinuxFamily.DEBIAN, [Program("sh", "dash"), ABSENT, OPTIONAL])
    assert found.commands == ("apt-get install --no-install-recommends another-package no-such-package",)
    assert found.essential


@pytest.mark.parametrize(
    ("family", "begins"),
    [(LinuxFamily.FEDORA, "dnf "), (LinuxFamily.ARCH, "pacman "), (LinuxFamily.SUSE, "zypper ")],
)
def test_other_distributions_are_told_their_own_commands_which_nobody_runs(family: LinuxFamily, begins: str) -> None:
    found = missing_packages(family, [ABSENT])
    assert found.commands[0].startswith(begins)
    assert not found.runs_here


def test_a_feature_that_is_missing_keeps_no_cluster_from_running() -> None:
    assert not missing_packages(LinuxFamily.ARCH, [OPTIONAL]).essential


def test_an_unknown_distribution_is_told_the_programs() -> None:
    assert missing_packages(LinuxFamily.OTHER, [ABSENT]).commands == (
        "# install what provides no-such-program-anywhere",
    )


def test_nothing_is_to_be_installed_where_all_is_there() -> None:
    assert missing_packages(LinuxFamily.DEBIAN, [Program("sh", "dash")]).commands == ()


@needs_apt
async def test_a_command_for_debian_is_one_that_apt_takes() -> None:
    await install_debian_packages("apt-get install --simulate --no-install-recommends apt")


@needs_apt
async def test_what_apt_does_not_know_is_an_error_with_a_remedy() -> None:
    with pytest.raises(HostCommandFailed, match="no-such-package") as caught:
        await install_debian_packages("apt-get install --simulate --no-install-recommends no-such-package")
    assert "apt-get update" in (caught.value.hint or "")
