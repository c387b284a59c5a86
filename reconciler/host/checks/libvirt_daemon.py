"""Whether libvirt responds and, if not, what is missing: package, daemon or permission."""

import asyncio
import importlib
import os
from pathlib import Path

from reconciler.errors import ClusterError
from reconciler.model.examination import CheckResult, failed, ok
from reconciler.programs import find_program

MINIMUM_VERSION = (8, 0, 0)
"""The version of Ubuntu 22.04. Everything was measured with 9.0.0."""

SOCKETS = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
"""Where the system's daemon listens: the one for everything, or the one for QEMU alone."""

_ANSWER_TIMEOUT_S = 15.0
LOCAL_SYSTEM = "qemu:///system"
_BINDINGS_MISSING = (
    "install `libvirt-dev pkg-config gcc python3-dev`, then `pip install libvirt-python` in this environment"
)


async def check_libvirt(uri: str) -> list[CheckResult]:
    """The Python bindings, the daemon and its version; a check that cannot be made is skipped."""
    try:
        importlib.import_module("libvirt")
    except ImportError as error:
        return [failed("libvirt", f"its Python module cannot be loaded: {error}", _BINDINGS_MISSING)]
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            version = await _version(uri)
    except ClusterError as error:
        return [diagnose(uri, error.message)]
    except TimeoutError:
        return [diagnose(uri, f"no answer from libvirt at {uri} in {_ANSWER_TIMEOUT_S:g} s")]
    return [ok("libvirt", f"answers at {uri}"), check_version(version)]


def diagnose(uri: str, message: str) -> CheckResult:
    """Why libvirt does not respond, as far as this host shows."""
    if uri != LOCAL_SYSTEM:
        return failed("libvirt", message, "correct `libvirt_uri`, or start the daemon it names")
    if find_program("libvirtd") is None and find_program("virtqemud") is None:
        return failed("libvirt", "it is not installed", "apt-get install --no-install-recommends libvirt-daemon-system")
    if any(os.access(socket, os.F_OK) and not os.access(socket, os.R_OK | os.W_OK) for socket in SOCKETS):
        return failed(
            "libvirt",
            "it runs, but this user may not use it",
            "run as root, or `sudo usermod -aG libvirt $USER` and log in again",
        )
    return failed("libvirt", message, start_command(), fixable=True)


def start_command() -> str:
    """The command that starts libvirt by hand on this host."""
    return "systemctl start libvirtd" if systemd_runs() else "virtlogd -d && libvirtd -d"


def systemd_runs(mark: Path = Path("/run/systemd/system")) -> bool:
    """Whether systemd manages this host's services (sd_booted(3))."""
    return mark.is_dir()


def check_version(number: int) -> CheckResult:
    """Whether libvirt's version, as returned by virConnectGetLibVersion, is new enough."""
    version = (number // 1_000_000, number // 1_000 % 1_000, number % 1_000)
    words = ".".join(map(str, version))
    if version >= MINIMUM_VERSION:
        return ok("libvirt version", words)
    return failed("libvirt version", words, f"upgrade to {'.'.join(map(str, MINIMUM_VERSION))} or newer")


async def _version(uri: str) -> int:
    from reconciler.host.libvirt.libvirt_connection import LibvirtConnection  # noqa: PLC0415  needs the bindings

    connection = LibvirtConnection(uri)
    try:
        return int(await connection.ask(lambda handle: handle.getLibVersion()))
    finally:
        connection.close()
