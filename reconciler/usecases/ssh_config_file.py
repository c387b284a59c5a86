"""The user's own OpenSSH configuration, with our `Include` between two marks; all other bytes stay."""

import asyncio
from pathlib import Path

from reconciler.errors import Conflict
from reconciler.files.atomic import reporting_os_errors, write_whole
from reconciler.runtime import Runtime
from reconciler.usecases.login_names import NamedLogins, named_logins, render_ssh_config

_BEGIN = b"# begin vmcluster: written by `vmcluster ssh-config --write`\n"
_END = b"# end vmcluster\n"
_FILE_NAME = "vmcluster_config"


async def write_ssh_config(runtime: Runtime, ssh_dir: Path) -> NamedLogins:
    """Write the logins of all clusters below `ssh_dir`, and include them in the `config` that is there."""
    logins = await named_logins(runtime)
    await asyncio.to_thread(_write, ssh_dir, render_ssh_config(logins).encode())
    return logins


async def remove_ssh_config(ssh_dir: Path) -> None:
    """Undo that: remove our file, and what includes it."""
    await asyncio.to_thread(_remove, ssh_dir)


def with_include(config: bytes, included: Path) -> bytes:
    """The configuration with the block that includes a file: where it was, or at the top, before any `Host`.

    Raises `Conflict` if there is one mark without the other.
    """
    quoted = str(included).replace("\\", "\\\\").replace('"', '\\"')
    block = _BEGIN + f'Include "{quoted}"\n'.encode() + _END
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
    wanted = with_include(present, included)
    write_whole(included, rendered)
    if wanted != present:
        write_whole(config, wanted, mode=_mode(config))


def _remove(ssh_dir: Path) -> None:
    config, present = _config(ssh_dir)
    wanted = without_include(present)
    if wanted != present:
        write_whole(config, wanted, mode=_mode(config))
    with reporting_os_errors(ssh_dir / _FILE_NAME):
        (ssh_dir / _FILE_NAME).unlink(missing_ok=True)


def _config(ssh_dir: Path) -> tuple[Path, bytes]:
    """The file that is the configuration, to which there may be a link, and its content."""
    path = ssh_dir / "config"
    with reporting_os_errors(path):
        real = path.resolve()
        return real, real.read_bytes() if real.exists() else b""


def _mode(config: Path) -> int:
    with reporting_os_errors(config):
        return config.stat().st_mode & 0o777 if config.exists() else 0o600
