"""Paths on this host that programs name."""

from pathlib import Path

from reconciler.errors import InvalidArgument


def absolute(argument: str, path: str) -> Path:
    """The path. Raises `InvalidArgument` for a relative one."""
    if not path.startswith("/"):
        raise InvalidArgument(
            f"{argument} {path!r} must be absolute", hint="a relative path means another place for each process"
        )
    return Path(path)
