"""What a pattern's texts begin with decides what a line is compared with: nothing may be missing."""

import pytest

from reconciler.kernel_log.announcements import announced_kind
from reconciler.kernel_log.pattern_prefixes import beginnings


@pytest.mark.parametrize(
    ("pattern", "length", "found"),
    [
        ("BUG: [a-z]", 5, {"BUG: "}),
        (r"\[ BUG: ", 4, {"[ BU"}),
        ("[kK]ernel BUG", 3, {"ker", "Ker"}),
        ("(?:NMI )?watch", 4, {"NMI ", "watc"}),
        ("(?:a|bc(?:d|e)?)f", 3, {"af", "bcf", "bcd", "bce"}),
        ("-{12} ?x", 5, {"-----"}),
        ("={3}x", 5, {"===x"}),
        ("a$", 3, {"a"}),
        (r"CPU[0-3]", 4, {"CPU0", "CPU1", "CPU2", "CPU3"}),
        (r"a[)|(]b", 3, {"a)b", "a|b", "a(b"}),
    ],
)
def test_all_beginnings_of_a_pattern_are_found(pattern: str, length: int, found: set[str]) -> None:
    assert beginnings(pattern, length) == found


def test_a_module_with_a_name_like_an_oops_is_none() -> None:
    assert announced_kind("Oopsie 1.0: loaded [#2]") is None
    assert announced_kind("Oops[#1]:") is not None
