"""The name under which scripts outside of this repository that measure kernel logs read consoles."""

from reconciler.host.console_log import read_console

__all__ = ["read_console"]
