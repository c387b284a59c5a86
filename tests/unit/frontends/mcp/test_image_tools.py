"""Images over MCP: what there are, and which an agent may get."""

from pathlib import Path

import pytest

from reconciler.usecases import image_pull
from tests.unit.frontends.mcp.conftest import Agent


@pytest.fixture(autouse=True)
def image_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMCLUSTER_IMAGE_DIR", str(tmp_path / "images"))
    return tmp_path / "images"


def files_in(directory: Path) -> list[Path]:
    return list(directory.glob("*"))


async def test_no_image_is_an_answer_that_says_what_comes_next(agent: Agent) -> None:
    answer = await agent.call("image_list")
    assert answer["result"] == []
    assert answer["next"].startswith("image_build()")


@pytest.mark.parametrize(
    "image", ["https://example.org/disk.qcow2", "file:///etc/shadow", "/etc/shadow", "debian-1", "--force"]
)
async def test_only_published_images_are_pulled(
    image: str, agent: Agent, monkeypatch: pytest.MonkeyPatch, image_dir: Path
) -> None:
    async def must_not(*_: object) -> None:
        raise AssertionError(image)

    monkeypatch.setattr(image_pull, "pull_image", must_not)
    error = (await agent.call("image_pull", image=image))["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert "debian-12" in error["message"]
    assert "address" not in error["message"]
    assert not files_in(image_dir)
