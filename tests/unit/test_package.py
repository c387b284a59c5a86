"""What a user gets who installs the package: all that it reads when it runs, and nothing of the checkout."""

import hashlib
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import reconciler
from reconciler.frontends.browser.app_document import app_document
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.image.overlay import overlay_files
from reconciler.image.recipe import render_overlay

pytestmark = [pytest.mark.long, pytest.mark.processes]

REPOSITORY = Path(__file__).parents[2]
FOR_READERS = {"reconciler/host/virt_type/firmware.S"}
"""What explains other files, and is not read when the package runs."""


DATA_FILES = """
import hashlib, json, reconciler
from reconciler.frontends.browser.app_document import app_document
from reconciler.frontends.mcp.listed_tools import FILE
from reconciler.image.overlay import overlay_files
from reconciler.image.recipe import render_overlay
digest = hashlib.sha256(render_overlay(overlay_files()) + app_document().encode()).hexdigest()
print(reconciler.__file__, len(json.loads(FILE.read_text())["tools"]), digest)
"""
"""Prints where the package is, the number of its tools, and the digest of what it puts into images and chats."""


def output_of(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of the package that are under version control."""
    return set(output_of("git", "ls-files", "-z", "reconciler", cwd=REPOSITORY).rstrip("\0").split("\0"))


@pytest.fixture(scope="module")
def wheel(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE", *tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((REPOSITORY / name).read_bytes())
        (source / name).chmod((REPOSITORY / name).stat().st_mode)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel")
    output_of(*pip, "-q", "--no-build-isolation", "--no-deps", "--no-index", "-w", built, source, cwd=source)
    (made,) = built.iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of an empty environment with the package; what it needs is borrowed from ours."""
    empty = tmp_path_factory.mktemp("empty")
    output_of(sys.executable, "-m", "venv", "--without-pip", empty, cwd=empty)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", empty / "bin" / "python")
    output_of(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=empty)
    return empty / "bin"


def test_the_wheel_has_every_file_of_the_package(wheel: Path, tracked: set[str]) -> None:
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert packed == tracked - FOR_READERS


def test_an_installed_package_runs_without_its_checkout(installed: Path, tmp_path: Path) -> None:
    needs = {"PYTHONPATH": sysconfig.get_path("purelib"), "VMCLUSTER_CONFIG": str(tmp_path / "config.yaml")}
    (tmp_path / "config.yaml").touch()
    for program in ("vmcluster", "vmcluster-mcp"):
        assert reconciler.__version__ in output_of(installed / program, "--version", cwd=tmp_path, **needs)
    where, tools, digest = output_of(installed / "python", "-c", DATA_FILES, cwd=tmp_path, **needs).split()
    assert Path(where).is_relative_to(installed.parent)
    assert int(tools) == len(TOOLS)
    assert digest == hashlib.sha256(render_overlay(overlay_files()) + app_document().encode()).hexdigest()
