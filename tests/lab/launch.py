"""The outside of a lab: check the host, become root, open the namespaces, pass signals and the exit code on."""

import argparse
import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.lab import FORWARDED_SIGNALS, IMAGE_DIR, LAB_FAILED, WORK_DIR

PACKAGES = {
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon-system",
    "virtlogd": "libvirt-daemon-system",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "dnsmasq": "dnsmasq-base",
}
"""Programs a lab cannot do without, and the Debian and Ubuntu packages that bring them."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT_BY_SUDO = ("CI", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM", "TZ", "VIRTUAL_ENV")
_KEPT_BY_SUDO_PREFIXES = ("COVERAGE_", "HYPOTHESIS_", "PYTEST_", "PYTHON", "VMCLUSTER_TEST_")
_KEPT_OF_OURS = ("VMCLUSTER_TEST_", "VMCLUSTER_LAB")


def main(arguments: Sequence[str]) -> int:
    """Run a command in a new lab; its exit code, `128 + n` for signal n, or `LAB_FAILED`."""
    options = parse_arguments(arguments)
    missing = missing_programs(search_path(os.environ))
    if missing:
        print(missing_message(missing), file=sys.stderr)
        return LAB_FAILED
    if os.geteuid() != 0:
        _become_root(arguments)
    return run_in_namespaces(options)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The options before `--` and the command after it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description="Run a command beside a private libvirtd that vanishes with it."
    )
    parser.add_argument(
        "--size",
        default="50%",
        metavar="SIZE",
        help="limit of everything the lab writes, as tmpfs understands it: 8g, 50%% of memory (default)",
    )
    parser.add_argument(
        "--image-dir",
        type=Path,
        default=os.environ.get("VMCLUSTER_TEST_IMAGE_DIR"),
        metavar="DIR",
        help=f"guest images, read-only there and as {IMAGE_DIR} (default: $VMCLUSTER_TEST_IMAGE_DIR)",
    )
    parser.add_argument(
        "--hosts",
        type=int,
        default=0,
        choices=range(1, 10),
        metavar="COUNT",
        help="start so many hosts and an etcd inside; `python -m tests.lab.on 1 -- COMMAND` runs a command on one",
    )
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    options = parser.parse_args(arguments)
    if options.image_dir is not None and not options.image_dir.is_dir():
        parser.error(f"--image-dir: {options.image_dir} is not a directory")
    return options


def search_path(environment: Mapping[str, str]) -> str:
    """Where programs are looked up: this interpreter's own directory first, the system's always included."""
    return os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", ""), _SYSTEM_PATH])


def missing_programs(path: str) -> list[str]:
    """The programs of `PACKAGES` that are not found on `path`."""
    return [program for program in PACKAGES if shutil.which(program, path=path) is None]


def missing_message(missing: Sequence[str]) -> str:
    """What to tell a user whose host lacks `missing`, and the command that installs it."""
    packages = sorted({PACKAGES[program] for program in missing})
    return (
        f"lab: not installed: {', '.join(missing)}\n"
        f"lab: on Debian and Ubuntu: sudo apt-get install --no-install-recommends {' '.join(packages)}"
    )


def lab_environment(outside: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: the caller's, without its own `VMCLUSTER_*` configuration.

    A variable for the code under test goes on the command line: `-- env VMCLUSTER_LOG_LEVEL=DEBUG pytest`.
    """
    inside = kept_environment(outside) | {
        "VMCLUSTER_LAB": "1",
        "VMCLUSTER_LAB_DIR": str(WORK_DIR),
        "LIBVIRT_DEFAULT_URI": "qemu:///system",
        "PATH": search_path(outside),
        "PYTHONUSERBASE": outside.get("PYTHONUSERBASE", site.getuserbase()),
        "HOME": str(WORK_DIR / "home"),
        "TMPDIR": str(WORK_DIR / "tmp"),
    }
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        inside.pop(name, None)
    return inside | (_leave_no_root_owned_caches(inside) if "SUDO_UID" in outside else {})


def kept_environment(outside: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without its own `VMCLUSTER_*` configuration."""
    return {
        name: value
        for name, value in outside.items()
        if not name.startswith("VMCLUSTER_") or name.startswith(_KEPT_OF_OURS)
    }


def sudo_command(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """This very command as root; `setpriv` ends it when sudo itself is killed and cannot pass that on."""
    kept = [name for name in environment if name in _KEPT_BY_SUDO or name.startswith(_KEPT_BY_SUDO_PREFIXES)]
    return [
        "sudo",
        f"--preserve-env={','.join(sorted(kept))}",
        "--",
        "setpriv",
        "--pdeathsig=KILL",
        "--",
        sys.executable,
        "-m",
        "tests.lab",
        *arguments,
    ]


def run_in_namespaces(options: argparse.Namespace) -> int:
    """Start process 1 of a lab and wait for it."""
    image_dir = str(options.image_dir.resolve()) if options.image_dir else ""
    arguments = [options.size, image_dir, str(options.hosts), *options.command]
    environment = lab_environment(os.environ) | ({"VMCLUSTER_TEST_IMAGE_DIR": image_dir} if image_dir else {})
    return run_namespaces(("--net", "--mount", "--pid"), "tests.lab.init", arguments, environment)


def run_namespaces(
    namespaces: Sequence[str], module: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> int:
    """Run `python -m MODULE LIFELINE ARGUMENTS` as process 1 of new namespaces, passing each signal on to it.

    `namespaces` are options of unshare(1). The exit code is the module's, or `128 + n` for signal n.
    """
    lifeline, control = os.pipe()
    command = ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc", "--", sys.executable, "-m", module]
    process = subprocess.Popen(
        [*command, str(lifeline), *arguments],
        env=environment,
        pass_fds=(lifeline,),
        # A terminal's Ctrl-C would reach the command directly and again through us: let there be one way only.
        start_new_session=True,
    )
    os.close(lifeline)
    _pass_signals_on(control)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _pass_signals_on(control: int) -> None:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(BrokenPipeError):  # the lab is over; its exit code is on the way
            os.write(control, bytes([number]))

    for number in FORWARDED_SIGNALS:
        signal.signal(number, pass_on)


def _become_root(arguments: Sequence[str]) -> NoReturn:
    if shutil.which("sudo") is None:
        sys.exit("lab: needs root for namespaces and a private libvirtd, and sudo is not installed")
    os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
    command = sudo_command(arguments, os.environ)
    print(f"lab: needs root: {shlex.join(command[:1])} ...", file=sys.stderr)
    os.execvp(command[0], command)


def _leave_no_root_owned_caches(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": f"{environment.get('PYTEST_ADDOPTS', '')} -p no:cacheprovider".strip(),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(WORK_DIR / "hypothesis"),
    }
