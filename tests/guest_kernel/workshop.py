"""Builds the module `vmtrial` for the guests' kernel, as its developer would: in place, edition after edition."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.guest_kernel.fetch import guest_release, kit_dir, rpm_environment

SOURCES = Path(__file__).parent / "vmtrial"
MODULE = "vmtrial"
_BUILD_TIMEOUT_S = 120


@dataclass(frozen=True)
class Workshop:
    """A build tree at `tree`, and the kit that it is built with."""

    tree: Path
    kit: Path
    release: str

    @classmethod
    def opened(cls, image_dir: Path, tree: Path) -> "Workshop":
        """Copy the sources to `tree`. Raises `RuntimeError` where the kit was not fetched."""
        release = guest_release(image_dir)
        kit = kit_dir(image_dir, release)
        if not kit.is_dir():
            raise RuntimeError(
                f"{kit} is missing, and the lab has no network; outside: python -m tests.guest_kernel {image_dir}"
            )
        shutil.copytree(SOURCES, tree)
        return cls(tree, kit, release)

    @property
    def module(self) -> Path:
        """The built module."""
        return self.tree / f"{MODULE}.ko"

    def package(self, name: str) -> Path:
        """A package for guests, as it was fetched."""
        (found,) = (self.kit / "packages").glob(f"{name}_*.deb")
        return found

    def rpmbuild(self, spec: Path, made: Path) -> None:
        """Build the package that `spec` describes into the directory `made`."""
        environment = {**os.environ, **rpm_environment(self.kit)}
        places = {"_topdir": spec.parent / "rpmbuild", "_rpmdir": made, "_tmppath": spec.parent}
        defines = [word for name, place in places.items() for word in ("--define", f"{name} {place}")]
        command = [str(self.kit / "root/usr/bin/rpmbuild"), "-bb", *defines, str(spec)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_BUILD_TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def build(self, edition: str, *, replacing: tuple[str, str] = ("", "")) -> None:
        """Make the module say that it is of this edition; the first of two texts in it is replaced by the second."""
        text = (SOURCES / f"{MODULE}.c").read_text().replace('#define EDITION "first"', f'#define EDITION "{edition}"')
        assert replacing[0] in text
        text = text.replace(*replacing) if replacing[0] else text
        source = self.tree / f"{MODULE}.c"
        if self.module.exists() and source.read_text() == text:
            return
        source.write_text(text)
        headers = self.kit / "root" / "usr" / "src" / f"linux-headers-{self.release}"
        done = subprocess.run(
            # The kit is the kernel's, with its compiler's name; ours may have another, and warns of it.
            ["make", "-C", str(headers), f"M={self.tree}", "CC=gcc", "modules"],
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
