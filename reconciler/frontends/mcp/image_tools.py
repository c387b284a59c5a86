"""The tools for guest images. People remove them, and pull from addresses of their own, at the command line."""

from typing import Annotated

from pydantic import Field

from reconciler.frontends.mcp.backend import Call, ask, settle
from reconciler.frontends.mcp.tool_definition import FETCHES, LOOKS, ToolDefinition
from reconciler.model.named_image import BuiltImage, NamedImage, PulledImage
from reconciler.model.results import ToolResult
from reconciler.usecases.application import UseCases


async def image_list(call: Call) -> ToolResult[list[NamedImage]]:
    """List the guest images of this host, which topologies name as `base_image`, and what stands on each."""

    async def look(use: UseCases) -> list[NamedImage]:
        from reconciler.usecases.named_images import listed_images  # noqa: PLC0415  imports libvirt

        return await listed_images(use.runtime)

    return await ask(call, look)


async def image_build(call: Call) -> ToolResult[BuiltImage]:
    """Build the small Debian image `base`: minutes, unless it is up to date. Interrupted, the next call continues."""

    async def build(use: UseCases) -> BuiltImage:
        from reconciler.model.names import BASE_IMAGE, image_path  # noqa: PLC0415
        from reconciler.usecases.images import build_guest_image  # noqa: PLC0415  imports libvirt

        target = image_path(use.runtime.settings.image_dir, BASE_IMAGE)
        return await build_guest_image(use.runtime, target, report=use.progress.report)

    return await settle(call, build)


async def image_pull(
    call: Call,
    image: Annotated[
        str, Field(min_length=1, max_length=64, description="A published image, such as `debian-12` or `ubuntu-24.04`.")
    ],
) -> ToolResult[PulledImage]:
    """Download a published cloud image, verify it, and keep it under its name. Interrupted, the next call continues."""

    async def pull(use: UseCases) -> PulledImage:
        from reconciler.usecases.image_pull import PullRequest, pull_image, require_published  # noqa: PLC0415

        require_published(image)
        return await pull_image(use.runtime, PullRequest(source=image), use.progress)

    return await settle(call, pull)


TOOLS = (
    ToolDefinition(image_list, "List images", LOOKS, (), "images"),
    ToolDefinition(image_build, "Build an image", FETCHES),
    ToolDefinition(image_pull, "Pull an image", FETCHES),
)
