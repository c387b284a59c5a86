"""Debian's package archives as this host reaches them, for any release; no address of them stands in the tests."""

import re
import shutil
from pathlib import Path

from reconciler.errors import OperationFailed
from reconciler.image.apt_sources import guest_sources, kept_acquire_options
from reconciler.process import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT_DIR = Path("/etc/apt")
_MMDEBSTRAP_MIRROR = re.compile(r"my \$(mirror|secmirror)\s*= '(https?://[^']+)';")


def os_release() -> dict[str, str]:
    """What the host says of itself (os-release(5))."""
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return {name: value.strip('"') for name, _, value in pairs}


def sources(codename: str) -> list[str]:
    """One-line entries for that release: the host's own archives, or on another host than Debian the public ones."""
    host = os_release()
    if host.get("ID") == "debian":
        files = [_APT_DIR / "sources.list", *sorted((_APT_DIR / "sources.list.d").glob("*"))]
        texts = [file.read_text() for file in files if file.suffix in (".list", ".sources") and file.is_file()]
        if found := guest_sources(texts, host.get("VERSION_CODENAME", ""), codename):
            return found
    return _public_sources(Path(shutil.which("mmdebstrap") or "/usr/bin/mmdebstrap").read_text(), codename)


async def acquire_options() -> list[str]:
    """What apt on this host needs to reach its archives, as lines of its configuration."""
    return kept_acquire_options((await run(["apt-config", "dump"])).stdout.decode(errors="replace"))


def _public_sources(mmdebstrap: str, codename: str) -> list[str]:
    """What the guest image was made from on a host without Debian archives: mmdebstrap's text knows where they are."""
    hosts = dict(_MMDEBSTRAP_MIRROR.findall(mmdebstrap))
    if hosts.keys() != {"mirror", "secmirror"}:
        raise OperationFailed(
            "this mmdebstrap does not say where Debian's archives are",
            hint="add a Debian archive to the sources of apt, or run the tests on Debian",
        )
    suites = {"mirror": codename, "secmirror": f"{codename}-security"}
    return [f"deb [signed-by={KEYRING}] {hosts[name]} {suite} main" for name, suite in suites.items()]
