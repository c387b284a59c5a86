"""Keeps tests that change a host out of the real one, and starts what takes long first."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.lab import WORK_DIR, inside_lab

os.environ.pop("PYTHONUNBUFFERED", None)  # commands that tests run hold their output back, as a user's do
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # commands that tests interrupt would inherit it
settings.register_profile("ci", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=5000)
settings.register_profile("brief", settings.get_profile("ci"), max_examples=8)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_INTEGRATION = Path(__file__).parent / "integration"
_HOSTILE = Path(__file__).parent / "hostile"
_TESTS_OF_THE_LAB = _INTEGRATION / "lab"  # they start labs of their own, in a lab or outside


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stop the whole run at once, with what to type instead, when a test needs the lab and is not in it.

    Modules marked `long` come first: one that a worker began last would keep all others waiting for it.
    """
    if not inside_lab() and any(_needs_the_lab(item.path) for item in items):
        raise pytest.UsageError(
            "the tests in tests/integration run in a private libvirt host only; run them with\n"
            "    python -m tests.lab -- pytest tests/integration\n"
            "and the unit tests anywhere: pytest tests/unit"
        )
    for item in items:
        if item.path.is_relative_to(_HOSTILE):
            item.add_marker("processes")
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Freeze what was imported and collected: a tenth of the time went into searching it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """A command that a test runs in this process configures logging; restore it for the next test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def lab_path() -> Iterator[Path]:
    """A fresh directory that QEMU's user may enter, unlike `tmp_path`; removed after the test, as it is memory."""
    path = Path(tempfile.mkdtemp(prefix="test-", dir=WORK_DIR))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def _needs_the_lab(path: Path) -> bool:
    return path.is_relative_to(_INTEGRATION) and not path.is_relative_to(_TESTS_OF_THE_LAB)
