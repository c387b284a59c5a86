"""A published image, from a server that breaks off, to a machine that boots from it by its name."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import pytest

from tests.integration.bed import BASE_IMAGE, Bed
from tests.integration.cli.conftest import COMMAND
from tests.outputs import Ended
from tests.waiting import BOOT_TIMEOUT_S
from tests.web_server import WebServer, running_web_server

Run = Callable[..., Ended]


@pytest.fixture
def images(bed: Bed) -> Path:
    return bed.directory / "images"


@pytest.fixture
def home(bed: Bed) -> Path:
    """A user with one client."""
    (bed.directory / "home" / ".cursor").mkdir(parents=True)
    return bed.directory / "home"


@pytest.fixture
def run(bed: Bed, images: Path, home: Path) -> Run:
    def run(*arguments: str, code: int = 0) -> Ended:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            env={**bed.environment, "VMCLUSTER_IMAGE_DIR": str(images), "HOME": str(home)},
            cwd=bed.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * BOOT_TIMEOUT_S,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr, arguments)

    return run


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running_web_server() as running:
        yield running


def test_an_image_that_arrived_in_three_parts_boots_and_stays_while_its_disks_do(
    run: Run, server: WebServer, images: Path
) -> None:
    with BASE_IMAGE.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        digest = hashlib.sha256(content).hexdigest()
        published = server.serve("/guest.qcow2", content, breaks_after=[100 << 20, 0, 0, 0, 0])
        server.serve("/SHA256SUMS", f"{digest} *guest.qcow2\n".encode())
        pull = ("image", "pull", f"{server.url}/guest.qcow2", "--checksum-url", f"{server.url}/SHA256SUMS")
        assert "run it again to continue after the 100 MiB" in run(*pull, code=1).err
        published.breaks_after = [50 << 20]
        pulled = run(*pull)
        published.content = b""
    assert [asked for path, asked in server.asked if path == "/guest.qcow2"][-2:] == [
        f"bytes={100 << 20}-",
        f"bytes={150 << 20}-",
    ]
    assert f"{images}/guest.qcow2 was pulled" in pulled.out
    run("init", "lab.yaml", "--nodes", "1", "--image", "guest")
    run("apply", "./lab.yaml", "--timeout", str(BOOT_TIMEOUT_S))
    assert run("exec", "lab", "n0", "--", "cat", "/etc/hostname").out == "n0\n"
    assert "node n0 of cluster lab stands on" in run("image", "rm", "guest", code=1).err
    assert run("image", "info", "guest", "-o", "json").data["used_by"][0] == "node n0 of cluster lab"
    run("destroy", "lab")
    assert "node n0 of cluster lab stands on" in run("image", "rm", "guest", code=1).err  # its disk is kept
    run("apply", "./lab.yaml", "--no-start")
    run("destroy", "lab", "--remove-overlays", "--yes")
    assert run("image", "rm", "guest").out.startswith("removed guest: ")
    assert list(images.iterdir()) == []
    assert "error [IMAGE_NOT_FOUND]" in run("plan", "./lab.yaml", code=1).err


def test_setup_ends_in_a_topology_that_can_be_applied_and_undoes_what_it_wrote(
    run: Run, bed: Bed, images: Path, home: Path
) -> None:
    images.mkdir(mode=0o755)
    os.link(bed.empty_image, images / "empty.qcow2")
    done = run("setup", "--yes", "--image", "empty")
    assert f"write: {bed.settings.topology_dir}/lab.yaml\n" in done.out
    assert "vmcluster" in json.loads((home / ".cursor" / "mcp.json").read_text())["mcpServers"]
    run("plan", "lab", code=2)
    run("apply", "lab", "--no-start")
    assert len(run("status", "lab", "-o", "json").data["nodes"]) == 3
    assert run("setup", "--yes", "--image", "empty").out.endswith("nothing to do\n")
    run("setup", "--undo", "--yes")
    assert not (bed.settings.topology_dir / "lab.yaml").exists()
    assert list((home / ".cursor").iterdir()) == []
    run("destroy", "lab", "--remove-overlays", "--yes")
