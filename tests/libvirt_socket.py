"""A libvirt of a test's own: a socket at which nobody answers, so that its lease is beside it and not the host's."""

from pathlib import Path


def silent_libvirt(directory: Path) -> str:
    """The URI of a libvirt whose socket is in `directory`."""
    socket = directory / "libvirt-sock"
    socket.touch()
    return f"qemu+unix:///system?socket={socket}"
