"""The headers of the guest image's kernel, and packages to install on guests, from the host's package archives.

apt runs on state of its own: the host may have another release, old lists, or none, and stays as it is.
"""

import getpass
import shutil
import tempfile
from pathlib import Path

from reconciler.errors import HostCommandFailed, OperationFailed
from reconciler.image.published import ImageFiles, read_description
from reconciler.process import run
from tests import archives

CODENAME = "bookworm"

RPM = ("rpm", "rpm-common", "librpm9", "librpmio9", "liblua5.3-0")
"""The program `rpm`, as far as the guest image lacks what it needs."""

FOR_GUESTS = ("make", "tcsh", *RPM)
"""Packages that are kept as they are, to be installed on guests."""

_FOR_RPMBUILD = (
    "librpmbuild9",
    "librpmsign9",
    "libmagic1",
    "libmagic-mgc",
    "libelf1",
    "libdw1",
    "libgomp1",
    "libgcrypt20",
    "libgpg-error0",
)
"""What `rpmbuild`, which is in the package `rpm`, needs besides, as far as not every host that builds modules has it.

A library that every host has is omitted: the host's own programs run beside `rpmbuild` and need their own edition.
"""

_FOR_UEFI = ("systemd-boot-efi",)
"""The program that a kernel, an initrd and a command line are put into to be one that UEFI starts."""

_LAYOUT = 5
"""A new number for each change of what a kit contains, so that one built before is not used."""

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


def efi_stub(kit: Path) -> Path:
    """The program that is the rest of one, see systemd-stub(7)."""
    return kit / "root" / "usr" / "lib" / "systemd" / "boot" / "efi" / "linuxx64.efi.stub"


def rpm_environment(kit: Path) -> dict[str, str]:
    """What the kit's `rpmbuild` needs to find its own files."""
    root = kit / "root"
    return {
        "LD_LIBRARY_PATH": ":".join(str(root / each / "x86_64-linux-gnu") for each in ("usr/lib", "lib")),
        "RPM_CONFIGDIR": str(root / "usr" / "lib" / "rpm"),
        "MAGIC": str(root / "usr" / "lib" / "file" / "magic.mgc"),
    }


async def ensure_kit(image_dir: Path) -> Path:
    """The kit for the image's kernel, fetched where it is not there yet; `image_dir` is absolute.

    Raises `OperationFailed` where its programs do not run on this host.
    """
    release = guest_release(image_dir)
    kit = kit_dir(image_dir, release)
    if not kit.is_dir():
        await _make(kit, release)
    await _require_rpmbuild(kit)
    return kit


async def _require_rpmbuild(kit: Path) -> None:
    done = await run([str(kit / "root/usr/bin/rpmbuild"), "--version"], env=rpm_environment(kit), check=False)
    if done.exit_code != 0:
        raise OperationFailed(
            f"the kit's rpmbuild does not run on this host: {done.stderr.decode(errors='replace').strip()}",
            hint="add the package that has what is missing to _FOR_RPMBUILD, and one to _LAYOUT, in " + __file__,
        )


async def _make(kit: Path, release: str) -> None:
    kit.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kit.parent) as name:
        work = Path(name)
        await _download(work, release)
        made = await _unpacked(work, kit, release)
        made.chmod(0o755)
        made.rename(kit)


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
            [*download, *header_packages(release), *FOR_GUESTS, *_FOR_RPMBUILD, *_FOR_UEFI],
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
    (work / "sources.list").write_text("\n".join(archives.sources(CODENAME)) + "\n")
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
    path = work / "apt.conf"
    lines = [*(f'{name} "{value}";' for name, value in settings.items()), *await archives.acquire_options()]
    path.write_text("\n".join(lines) + "\n")
    return path
