"""How many inputs were tried and how much memory they cost, over all fuzzers and workers of a run."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LIMIT_BYTES = 200 << 20
"""The most that one of our processes may grow, however many inputs it gets."""
_INPUTS, _GROWTH = "hostile inputs", "hostile growth"


class Tally:
    """What one fuzzer has done; it travels with the test's report and is added up at the end."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record

    def tried(self, count: int) -> None:
        """Count this many inputs."""
        self._record(_INPUTS, count)

    def grew(self, size_bytes: int) -> None:
        """Note by how much a process has grown at most. Fails above the limit."""
        self._record(_GROWTH, size_bytes)
        assert size_bytes < LIMIT_BYTES

    @contextmanager
    def fuzzing(self, count: int) -> Iterator[None]:
        """Count inputs that are tried in this process, and watch its memory."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here: proc(5)
        before = memory_bytes("self", "VmRSS")
        yield
        self.tried(count)
        self.grew(memory_bytes("self", "VmHWM") - before)


def memory_bytes(process: int | str, what: str) -> int:
    """`VmRSS`: what a process has now; `VmHWM`: has had at most (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


class Total:
    """All that the tests of a run have reported."""

    def __init__(self, reports: Iterable[pytest.TestReport]) -> None:
        self.inputs: Counter[str] = Counter()
        self.growth_bytes = 0
        for report in reports:
            for name, value in report.user_properties:
                if name == _INPUTS:
                    self.inputs[_attacker(report.nodeid)] += int(str(value))
                elif name == _GROWTH:
                    self.growth_bytes = max(self.growth_bytes, int(str(value)))

    def __str__(self) -> str:
        by = ", ".join(f"{count:,} by a {attacker}" for attacker, count in sorted(self.inputs.items()))
        return (
            f"{self.inputs.total():,} inputs ({by}); no process grew by more than {self.growth_bytes / 2**20:.0f} MiB"
        )


def _attacker(nodeid: str) -> str:
    """From the module's name, as `test_guest_streams.py`."""
    return Path(nodeid.partition("::")[0]).stem.split("_")[1].removesuffix("s")
