"""The headers of the guest image's kernel, and packages to install on guests, from the host's package archives.

apt runs on state of its own: the host may have another release, old lists, or none, and stays as it is.
"""

import getpass
import re
import shutil
import tempfile
from pathlib import Path

from reconciler.errors import HostCommandFailed, OperationFailed
from reconciler.host.image.apt_sources import guest_sources, kept_acquire_options
from reconciler.host.image.published import ImageFiles, read_description
from reconciler.process import run

CODENAME = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_MMDEBSTRAP_MIRROR = re.compile(r"my \$(mirror|secmirror)\s*= '(https?://[^']+)';")

RPM = ("rpm", "rpm-common", "librpm9", "librpmio9", "liblua5.3-0")
"""The program `rpm`, as far as the guest image lacks what it needs."""

FOR_GUESTS = ("make", *RPM)
"""Packages that are kept as they are, to be installed on guests."""

_FOR_RPMBUILD = ("librpmbuild9", "librpmsign9", "libmagic1", "libmagic-mgc", "libelf1", "libdw1", "libgomp1")
"""What `rpmbuild`, which is in the package `rpm`, needs besides."""

_LAYOUT = 2
"""Another number for each change of what is in a kit: the one that is there is not what is wanted then."""

_APT_DIR = Path("/etc/apt")
_APT_TIMEOUT_S = 600.0


def kit_dir(image_dir: Path, release: str) -> Path:
    """Where the kit of a kernel is: `root/` is what is used here, unpacked, `packages/` are files for guests."""
    return image_dir / "kits" / f"{release}-{_LAYOUT}"


def guest_release(image_dir: Path) -> str:
    """The kernel in the guest image. Raises `OperationFailed` where there is no image."""
    said = read_description(ImageFiles.beside(image_dir / "base.qcow2"))
    if said is None:
        raise OperationFailed(f"there is no guest image in {image_dir}", hint="vmcluster image build")
    return said.kernel_version


async def ensure_kit(image_dir: Path) -> Path:
    """The kit for the image's kernel, fetched where it is not there yet; `image_dir` is absolute."""
    release = guest_release(image_dir)
    kit = kit_dir(image_dir, release)
    if kit.is_dir():
        return kit
    kit.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kit.parent) as name:
        work = Path(name)
        await _download(work, release)
        made = await _unpacked(work, kit, release)
        made.chmod(0o755)
        made.rename(kit)
    return kit


def header_packages(release: str) -> list[str]:
    """As Debian names them: `6.1.0-56-cloud-amd64` has a part for all flavours, and its programs one of their own."""
    version, _, _flavour = release.partition("-cloud")
    kbuild = ".".join(version.split(".")[:2])
    return [f"linux-headers-{release}", f"linux-headers-{version}-common", f"linux-kbuild-{kbuild}"]


async def _download(work: Path, release: str) -> None:
    conf = await _write_apt_conf(work)
    for directory in ("lists/partial", "cache/archives/partial", "downloads"):
        (work / directory).mkdir(parents=True)
    environment = {"LC_ALL": "C.UTF-8"}
    await run(["apt-get", f"--config-file={conf}", "-q", "update"], timeout_s=_APT_TIMEOUT_S, env=environment)
    # apt-get(8): `download` writes to the current directory, and `run` has none but this process's.
    download = ["env", f"--chdir={work / 'downloads'}", "apt-get", f"--config-file={conf}", "-q", "download"]
    try:
        await run(
            [*download, *header_packages(release), *FOR_GUESTS, *_FOR_RPMBUILD],
            timeout_s=_APT_TIMEOUT_S,
            env=environment,
        )
    except HostCommandFailed as error:
        error.hint = f"where kernel {release} has left the archive, a new image has the present one"
        raise


async def _unpacked(work: Path, kit: Path, release: str) -> Path:
    made = work / "kit"
    (made / "packages").mkdir(parents=True)
    for package in sorted((work / "downloads").glob("*.deb")):
        await run(["dpkg-deb", "--extract", str(package), str(made / "root")])
        if package.name.partition("_")[0] in FOR_GUESTS:
            shutil.move(package, made / "packages")
    # Debian's has the absolute path of an installed one.
    common = next(name for name in header_packages(release) if name.endswith("-common"))
    makefile = made / "root" / "usr" / "src" / f"linux-headers-{release}" / "Makefile"
    makefile.write_text(f"include {kit / 'root' / 'usr' / 'src' / common / 'Makefile'}\n")
    return made


async def _write_apt_conf(work: Path) -> Path:
    """State of its own below `work`, and what apt on this host needs to reach its archives."""
    (work / "status").touch()
    (work / "sources.list").write_text("\n".join(_sources()) + "\n")
    settings = {
        "Dir::State": work,
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Sandbox::User": getpass.getuser(),
        "Acquire::Languages": "none",
    }
    kept = kept_acquire_options((await run(["apt-config", "dump"])).stdout.decode(errors="replace"))
    path = work / "apt.conf"
    path.write_text("\n".join([*(f'{name} "{value}";' for name, value in settings.items()), *kept]) + "\n")
    return path


def _sources() -> list[str]:
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    host = {name: value.strip('"') for name, _, value in pairs}
    if host.get("ID") == "debian":
        files = [_APT_DIR / "sources.list", *sorted((_APT_DIR / "sources.list.d").glob("*"))]
        texts = [file.read_text() for file in files if file.suffix in (".list", ".sources") and file.is_file()]
        if found := guest_sources(texts, host.get("VERSION_CODENAME", ""), CODENAME):
            return found
    return _public_sources(Path(shutil.which("mmdebstrap") or "/usr/bin/mmdebstrap").read_text())


def _public_sources(mmdebstrap: str) -> list[str]:
    """What the guest image was made from on a host without Debian archives: mmdebstrap's text knows where they are."""
    hosts = dict(_MMDEBSTRAP_MIRROR.findall(mmdebstrap))
    if hosts.keys() != {"mirror", "secmirror"}:
        raise OperationFailed(
            "this mmdebstrap does not say where Debian's archives are",
            hint="add a Debian archive to the sources of apt, or run the tests on Debian",
        )
    suites = {"mirror": CODENAME, "secmirror": f"{CODENAME}-security"}
    return [f"deb [signed-by={KEYRING}] {hosts[name]} {suite} main" for name, suite in suites.items()]
