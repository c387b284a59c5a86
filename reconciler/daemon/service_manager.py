"""Notifies the service manager of this process: ready, status, watchdog, stopping.

sd_notify(3): one datagram of `NAME=value` lines to the socket in `NOTIFY_SOCKET`, a path or, after `@`, an abstract
name. Without it nothing is sent. sd_watchdog_enabled(3): with `WATCHDOG_USEC` set, and `WATCHDOG_PID` not another
process, silence for that long means that this process hangs.
"""

import asyncio
import os
import socket
from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)

_SEND_TIMEOUT_S = 1.0
_PINGS_PER_WATCHDOG = 2  # as sd_watchdog_enabled(3) advises


class ServiceManager:
    """The service manager that started this process, if any."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = _socket_address(environment.get("NOTIFY_SOCKET", ""))
        self._status = ""
        self._is_ready = False
        self.watchdog_s = _watchdog_s(environment) if self._address else None

    def ready(self) -> None:
        """Report once that the start is complete."""
        if not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")

    def status(self, text: str) -> None:
        """Report the status in one line, if it changed."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def stopping(self) -> None:
        """Report that the process is stopping."""
        self._tell("STOPPING=1")

    async def keep_alive(self) -> None:
        """Send keep-alives as long as this event loop runs; returns immediately if nobody listens."""
        while self.watchdog_s is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / _PINGS_PER_WATCHDOG)

    def _tell(self, message: str) -> None:
        """Failing to notify the manager is not an error: it handles a silent service itself."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(_SEND_TIMEOUT_S)
                out.connect(self._address)
                out.sendall(message.encode())
        except OSError as error:
            log.warning("service_manager_not_told", message=message, cause=str(error))


def _socket_address(text: str) -> str:
    """The address in the kernel's form; empty if there is none that this program can reach."""
    if text.startswith("@"):
        return "\0" + text[1:]
    if text and not text.startswith("/"):
        log.warning("notify_socket_not_supported", address=text)
        return ""
    return text


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    for_whom = environment.get("WATCHDOG_PID") or str(os.getpid())
    if not microseconds.isdecimal() or int(microseconds) == 0 or for_whom != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000
