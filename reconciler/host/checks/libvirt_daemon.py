"""Whether libvirt responds and, if not, what is missing: package, daemon or permission."""

import asyncio
import importlib
import os
import re
from pathlib import Path

from reconciler.errors import ClusterError
from reconciler.model.examination import CheckResult, failed, ok, warning
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

_CONFIGURATION = Path("/etc/libvirt")
_CONSOLES = "console logs"
_DEFAULT_SIZE = 2 * 1024 * 1024
_DEFAULT_BACKUPS = 3


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


def check_consoles(limit_mb: int, configuration: Path = _CONFIGURATION) -> CheckResult:
    """Whether a guest that writes to its console without end is limited, by what, and to which size."""
    try:
        handler = _value(configuration / "qemu.conf", "stdio_handler") or "logd"
        size = _number(configuration / "virtlogd.conf", "max_size", _DEFAULT_SIZE)
        backups = _number(configuration / "virtlogd.conf", "max_backups", _DEFAULT_BACKUPS)
    except OSError as error:
        return warning(_CONSOLES, f"{error.filename} cannot be read: {error.strerror}", "run as root")
    if handler == "logd" and size:
        kept = (backups + 1) * size / 1024 / 1024
        return ok(_CONSOLES, f"virtlogd keeps the newest {kept:.4g} MiB of each node")
    cause = "max_size = 0 in virtlogd.conf" if handler == "logd" else f'stdio_handler = "{handler}" in qemu.conf'
    remedy = "remove that line and restart libvirt, or keep `vmcluster watch` running"
    return warning(_CONSOLES, f"{cause}: they are only truncated in each round, to {limit_mb} MiB a node", remedy)


def _number(file: Path, key: str, default: int) -> int:
    value = _value(file, key)
    return int(value) if value and value.isdecimal() else default


def _value(file: Path, key: str) -> str | None:
    """The value of a key in a libvirt configuration file; None if file or key is missing. Raises `OSError`."""
    try:
        text = file.read_text(errors="replace")
    except FileNotFoundError:
        return None
    found = re.findall(rf"^[ \t]*{key}[ \t]*=[ \t]*[\"']?([\w]+)", text, re.MULTILINE)
    return found[-1] if found else None
