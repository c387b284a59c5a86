"""Takes pictures of the screens of running machines."""

from contextlib import suppress
from typing import Any

import libvirt

from reconciler.drawing.screen_image import MOST_BYTES
from reconciler.errors import OperationFailed
from reconciler.host.libvirt.lookup import our_domain
from reconciler.host.libvirt.xml import parse_element

_CHUNK_BYTES = 256 * 1024
_RESTART = "it was started before `video: true` was set: `cluster_restart` gives it one"


def take_screenshot(handle: Any, cluster: str, node: str) -> bytes:
    """The screen of a running machine as virDomainScreenshot has it: PNG, or PPM from an old QEMU.

    Raises `OperationFailed` if the machine has no screen, or its picture is too large.
    """
    domain = our_domain(handle, cluster, node)
    if parse_element(domain.XMLDesc(0)).find("devices/video") is None:
        raise OperationFailed("the machine has no screen", node=node, hint=_RESTART)
    stream = handle.newStream(0)
    try:
        domain.screenshot(stream, 0, 0)
        picture = _received(stream)
    except BaseException:
        with suppress(libvirt.libvirtError):
            stream.abort()
        raise
    if picture is None:
        stream.abort()
        raise OperationFailed(f"the picture has more than {MOST_BYTES} bytes", node=node)
    stream.finish()
    return picture


def _received(stream: Any) -> bytes | None:
    """All that a stream has; None if that is too much."""
    content = bytearray()
    while chunk := stream.recv(_CHUNK_BYTES):
        content += chunk
        if len(content) > MOST_BYTES:
            return None
    return bytes(content)
