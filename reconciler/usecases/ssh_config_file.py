"""The user's own OpenSSH configuration, with our `Include` between two marks; all other bytes stay."""

import asyncio
from pathlib import Path

from reconciler.errors import Conflict
from reconciler.files.atomic import reporting_os_errors, write_whole
from reconciler.runtime import Runtime
from reconciler.usecases.login_names import NamedLogins, named_logins, render_ssh_config

_BEGIN = b"# begin vmcluster: written by `vmcluster ssh-config --write`\n"
_MADE = b"# this file was made for the line above\n"
"""In the block if there was no configuration before."""
_END = b"# end vmcluster\n"
_FILE_NAME = "vmcluster_config"


async def write_ssh_config(runtime: Runtime, ssh_dir: Path) -> NamedLogins:
    """Write the logins of all clusters below `ssh_dir`, and include them in the `config` that is there."""
    logins = await named_logins(runtime)
    await asyncio.to_thread(_write, ssh_dir, render_ssh_config(logins).encode())
    return logins


async def remove_ssh_config(ssh_dir: Path) -> list[str]:
    """Undo that: remove our file, and what includes it. Returns what was done, in words."""
    return await asyncio.to_thread(_remove, ssh_dir)


def with_include(config: bytes, included: Path, *, made: bool = False) -> bytes:
    """The configuration with the block that includes a file: where it was, or at the top, before any `Host`.

    The block notes if the configuration is `made` for it. Raises `Conflict` if there is one mark without the other.
    """
    quoted = str(included).replace("\\", "\\\\").replace('"', '\\"')
    block = _BEGIN + f'Include "{quoted}"\n'.encode() + (_MADE if made else b"") + _END
    before, after = _around_block(config)
    return before + block + after


def without_include(config: bytes) -> bytes:
    """The configuration as it was without our block. Raises `Conflict` like `with_include`."""
    return b"".join(_around_block(config))


def _around_block(config: bytes) -> tuple[bytes, bytes]:
    before, begins, rest = config.partition(_BEGIN)
    if not begins and _END not in config:
        return b"", config
    _old, ends, after = rest.partition(_END)
    if not begins or not ends:
        missing = (_END if begins else _BEGIN).decode().strip()
        raise Conflict(
            f"the SSH configuration has lines of vmcluster, but not the line `{missing}`",
            hint="remove these lines with an editor, then run it again",
        )
    return before, after


def _write(ssh_dir: Path, rendered: bytes) -> None:
    included = ssh_dir / _FILE_NAME
    config, present = _config(ssh_dir)
    wanted = with_include(present, included, made=_MADE in present or not config.exists())
    write_whole(included, rendered)
    if wanted != present:
        write_whole(config, wanted, mode=_mode(config))


def _remove(ssh_dir: Path) -> list[str]:
    config, present = _config(ssh_dir)
    wanted = without_include(present)
    told = []
    if wanted != present and not wanted and _MADE in present:
        with reporting_os_errors(config):
            config.unlink()
        told.append(f"removed {config}, which was empty otherwise")
    elif wanted != present:
        write_whole(config, wanted, mode=_mode(config))
        told.append(f"removed the lines of vmcluster from {config}")
    included = ssh_dir / _FILE_NAME
    with reporting_os_errors(included):
        if included.exists() or included.is_symlink():
            included.unlink()
            told.append(f"removed {included}")
    return told


def _config(ssh_dir: Path) -> tuple[Path, bytes]:
    """The file that is the configuration, to which there may be a link, and its content."""
    path = ssh_dir / "config"
    with reporting_os_errors(path):
        real = path.resolve()
        return real, real.read_bytes() if real.exists() else b""


def _mode(config: Path) -> int:
    with reporting_os_errors(config):
        return config.stat().st_mode & 0o777 if config.exists() else 0o600
