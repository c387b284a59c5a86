"""Says which tests failed beside others and passed alone: `python -m tests.tries DIRECTORY`.

The directory holds two reports of pytest in JUnit's format: `first.xml` of the whole run, and `alone.xml` of what
failed in it, run once more. A test that passes only alone is a defect, of the test or of the product: nothing may
depend on who is faster. The exit code is 0 only where each test that failed has passed alone.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

FIRST, ALONE = "first.xml", "alone.xml"
PASSED, SKIPPED = "passed", "skipped"


@dataclass(frozen=True, slots=True)
class Try:
    """One outcome of one test, and the first line of what went wrong."""

    outcome: str
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.outcome}: {self.cause}" if self.cause else self.outcome


_UNTRIED = Try("not run")


def parse_tries(report: str) -> dict[str, Try]:
    """The outcome of each test in a report; of a test with several entries (as with a failing teardown) the worst."""
    tries: dict[str, Try] = {}
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        if tries.get(name, Try(PASSED)).outcome == PASSED:
            tries[name] = _outcome(case)
    return tries


def render_defects(first: Mapping[str, Try], alone: Mapping[str, Try]) -> tuple[str, bool]:
    """A list of what failed at first with both outcomes, and whether all of it passed alone."""
    failed = [name for name, of in first.items() if of.outcome not in {PASSED, SKIPPED}]
    passed = [name for name in failed if alone.get(name, _UNTRIED).outcome == PASSED]
    others = [name for name in failed if name not in passed]
    heads = {
        "failed beside others and passed alone; each is a defect to be fixed:": passed,
        "failed beside others and did not pass alone either:": others,
    }
    lines = [] if failed else ["the first run failed, and its report names no test that did"]
    for head, names in heads.items():
        lines += [f"{len(names)} {head}"] if names else []
        for name in names:
            lines += [f"  {name}", f"    beside others: {first[name]}", f"    alone: {alone.get(name, _UNTRIED)}"]
    return "\n".join(lines), bool(failed) and not others


def main(directory: Path) -> int:
    """Print the list; the exit code is 1 where something failed twice, or was not tried again."""
    said, passed = render_defects(*(_read(directory / name) for name in (FIRST, ALONE)))
    print(said)
    return int(not passed)


def _outcome(case: ElementTree.Element) -> Try:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            message = (found.get("message") or found.text or "").strip()
            return Try("failed", message.partition("\n")[0])
    return Try(SKIPPED if case.find("skipped") is not None else PASSED)


def _read(report: Path) -> dict[str, Try]:
    return parse_tries(report.read_text()) if report.exists() else {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
