"""Images on the command line, from a real server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.desired.files import GIB, qcow2_header
from tests.web_server import WebServer, running_web_server

from .conftest import Invoke

DISK = qcow2_header(GIB)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with running_web_server() as running:
        running.serve("/disk.qcow2", DISK)
        yield running


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMCLUSTER_IMAGE_DIR", str(tmp_path / "images"))
    monkeypatch.setenv("VMCLUSTER_OVERLAY_DIR", str(tmp_path / "overlays"))
    monkeypatch.setenv("VMCLUSTER_TEMPLATE_DIR", str(tmp_path / "templates"))
    return tmp_path / "images"


def test_without_images_the_list_says_how_to_get_one(invoke: Invoke, images: Path) -> None:
    ended = invoke("image", "list")
    assert ended.code == 0
    assert ended.out == "no images; get one with `vmcluster image pull debian-12` or `vmcluster image build`\n"


def test_an_image_is_pulled_shown_listed_and_found_again(invoke: Invoke, images: Path, server: WebServer) -> None:
    pull = ("image", "pull", f"{server.url}/disk.qcow2", "--name", "mine", "--sha256", hashlib.sha256(DISK).hexdigest())
    ended = invoke(*pull)
    assert ended.code == 0
    assert ended.out == f"{images}/mine.qcow2 was pulled: 24 KiB\nin topologies: `base_image: mine`\n"
    assert "mine: 100 % of 24 KiB" in ended.err
    assert f"{images}/mine.qcow2 is up to date" in invoke(*pull).out
    (listed,) = invoke("image", "list", "-o", "json").data
    assert (listed["name"], listed["format"], listed["disk_bytes"]) == ("mine", "qcow2", GIB)
    shown = invoke("image", "info", "mine").out.splitlines()
    assert shown[3] == f"digest  sha256:{hashlib.sha256(DISK).hexdigest()}"
    assert shown[4].startswith(f"origin  {server.url}/disk.qcow2, as qcow2, ")
    assert shown[-1] == "used by nothing"


def test_an_image_of_which_nothing_is_known_is_refused_and_named_as_not_verified(
    invoke: Invoke, images: Path, server: WebServer
) -> None:
    ended = invoke("image", "pull", f"{server.url}/disk.qcow2")
    assert ended.code == 1
    assert ended.err == (
        f"error [INVALID_ARGUMENT]: nothing says what {server.url}/disk.qcow2 has to contain\n"
        "  give --sha256 or --checksum-url; or --unverified, to use whatever the server sends\n"
    )
    assert "not verified" in invoke("image", "pull", f"{server.url}/disk.qcow2", "--unverified").out
    assert "(not verified)" in invoke("image", "list").out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("image pull", "Missing argument"),
        ("image pull debian-12 --timeout 0", "0 is not greater than 0"),
        ("image pull debian-12 --max-gb -1", "-1 is not greater than 0"),
        ("image rm", "Missing argument"),
    ],
)
def test_a_wrong_command_line_for_images_is_refused(invoke: Invoke, words: str, problem: str) -> None:
    ended = invoke(*words.split())
    assert ended.code == 1
    assert problem in ended.err


def test_a_wrong_name_is_refused_with_what_may_have_been_meant(invoke: Invoke, images: Path) -> None:
    ended = invoke("image", "pull", "debain-12")
    assert ended.code == 1
    assert "'debain-12' is no published image: there are almalinux-9, debian-12, " in ended.err
    assert "  did you mean debian-12?" in ended.err
    ended = invoke("image", "rm", "debian-12")
    assert "error [IMAGE_NOT_FOUND]: the image debian-12 is not on this host" in ended.err
