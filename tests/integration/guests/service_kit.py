"""The service as one file for guests: the package, the Python packages that `watch` imports, libvirt's libraries.

The guests' Python is Debian's 3.11, so modules built for our 3.11 fit it. Their libraries are from the same release as
ours if this host is Debian 12, so ours fit as well.
"""

import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import reconciler
from tests.guest_kernel.fetch import CODENAME

PLACE = "/opt/vmcluster"
"""Where it is unpacked: `python/`, `lib/`, and the command."""

_IMPORT_ALL = """
import sys
import reconciler.frontends.cli.session, reconciler.frontends.cli.service_commands, reconciler.daemon.entry
print(*{file for module in sys.modules.values() if (file := getattr(module, "__file__", None))}, sep="\\n")
"""
_COMMAND = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{PLACE}/python")
from reconciler.frontends.cli.app import main
main()
"""


def misfit() -> str | None:
    """Why guests cannot run this host's packages; None if they can."""
    release = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines())
    if release.get("VERSION_CODENAME") != CODENAME:
        return f"the guests have the libraries of Debian {CODENAME}, and this host has others"
    return None if sys.version_info[:2] == (3, 11) else "the guests have Python 3.11, and this is another"


def write_kit(path: Path, present: Iterable[str]) -> None:
    """Pack everything for a guest that has the libraries `present`."""
    command = path.with_name("vmcluster")
    command.write_text(_COMMAND)
    command.chmod(0o755)
    with tarfile.open(path, "w:gz", compresslevel=1) as kit:
        kit.add(command, "vmcluster")
        # With its byte code, because compiling it under emulation takes half a minute.
        for source in [*_packages(), Path(reconciler.__file__).parent]:
            kit.add(source, f"python/{source.name}", filter=_kept)
        for name, library in _libraries().items():
            if name not in present:
                kit.add(library.resolve(), f"lib/{name}")


def _packages() -> list[Path]:
    """The installed packages that are imported, each whole, because parts are imported only when needed."""
    site = Path(sysconfig.get_path("platlib"))
    done = subprocess.run([sys.executable, "-c", _IMPORT_ALL], capture_output=True, text=True, check=True)
    files = [Path(line) for line in done.stdout.splitlines()]
    return sorted({site / file.relative_to(site).parts[0] for file in files if file.is_relative_to(site)})


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Everything except three quarters of a package of which only the names are used."""
    return None if entry.name.startswith("python/pygments/lexers/") else entry


def _libraries() -> dict[str, Path]:
    """The libraries that libvirt's Python module is linked with, by the names that the loader looks for."""
    module = find_spec("libvirtmod")
    assert module is not None
    assert module.origin is not None
    done = subprocess.run(["ldd", module.origin], capture_output=True, text=True, check=True)
    words = [line.split() for line in done.stdout.splitlines()]
    found = {each[0]: Path(each[2]) for each in words if len(each) > 2 and each[1] == "=>"}
    return {**found, "libvirt-qemu.so.0": found["libvirt.so.0"].with_name("libvirt-qemu.so.0")}
