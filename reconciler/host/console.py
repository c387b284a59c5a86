"""The name under which scripts outside this repository that measure kernel logs import `read_console`."""

from reconciler.host.console_log import read_console

__all__ = ["read_console"]
