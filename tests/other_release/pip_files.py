"""What pip on this host needs to reach its index: files of its configuration and those that they name."""

import os
import re
import subprocess
import sys
from pathlib import Path

_ALWAYS = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")
_CONFIGURATION = ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
_PATH = re.compile(r"(?:file://)?(/[^\s'\"]+)")
_PREFIXES = ("PIP_", "SSL_CERT_", "REQUESTS_CA_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


def pip_environment() -> dict[str, str]:
    """The variables that decide how an index is reached."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES) or name.lower() in _PROXIES}


def pip_files() -> list[Path]:
    """Files and directories that exist here: name service, certificates, configuration, and what that names."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    named = [*_PATH.findall(listing), *_PATH.findall("\n".join(pip_environment().values()))]
    paths = [_with_its_files(Path(name).expanduser()) for name in [*_ALWAYS, *_CONFIGURATION, *named]]
    return [path for path in dict.fromkeys(paths) if path.exists()]


def _with_its_files(path: Path) -> Path:
    """An index on disk lies beside the files that it names (PEP 503 calls its directory so)."""
    return path.parent if path.name == "simple" else path
