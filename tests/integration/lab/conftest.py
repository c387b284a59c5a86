import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.lab.residue import TOKEN, processes_with
from tests.waiting import PATIENCE_S

REPOSITORY = Path(__file__).parents[3]
LAB_TIMEOUT_S = 90.0


@dataclass(slots=True)
class Labs:
    """Starts labs whose processes all carry one token in their environment."""

    token: str = field(default_factory=lambda: uuid4().hex)

    def start(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """A lab that runs `command`; its stdout and stderr are pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.lab", *options, "--", *command],
            cwd=REPOSITORY,
            env=_without_images(os.environ) | {TOKEN: self.token},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """A lab from start to end."""
        process = self.start(*command, options=options)
        stdout, stderr = process.communicate(timeout=LAB_TIMEOUT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def run_python(self, program: str) -> subprocess.CompletedProcess[str]:
        """A lab that runs a Python program."""
        return self.run(sys.executable, "-c", program)

    def wait_until_all_ended(self) -> None:
        """Wait until every process of every lab started here has ended; fails naming those that have not."""
        deadline = time.monotonic() + PATIENCE_S
        while left := self.processes():
            assert time.monotonic() < deadline, f"still alive: {left}"
            time.sleep(0.02)

    def processes(self) -> list[str]:
        """Command lines of the living processes of these labs."""
        return processes_with(self.token)


def _without_images(environment: Mapping[str, str]) -> dict[str, str]:
    """These labs see only the images that their options name, not those that this run was given."""
    return {name: value for name, value in environment.items() if name != "VMCLUSTER_TEST_IMAGE_DIR"}


@pytest.fixture
def labs() -> Iterator[Labs]:
    """Labs to start; all of them end with the test."""
    started = Labs()
    yield started
    started.wait_until_all_ended()
