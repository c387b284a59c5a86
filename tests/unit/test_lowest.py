"""The lowest versions that are allowed are those that the tests are run with."""

import pytest

from tests.lowest import PROJECT, requirements


def test_every_dependency_has_a_lowest_version_that_can_be_installed_alone() -> None:
    wanted = list(requirements(PROJECT.read_text(encoding="utf-8")))
    assert "asyncssh==2.22" in wanted
    assert "pytest" in wanted


def test_a_dependency_without_bounds_is_named() -> None:
    with pytest.raises(ValueError, match="'left-pad' has no lower"):
        list(requirements('[project]\ndependencies = ["left-pad"]'))
