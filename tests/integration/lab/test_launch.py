"""A lab from the outside: what goes in, what comes out, and that nothing stays."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.lab.conftest import LAB_TIMEOUT_S, REPOSITORY, Labs
from tests.integration.lab.residue import observe_traces
from tests.lab import IMAGE_DIR, LAB_FAILED
from tests.lab.launch import PACKAGES, missing_message, missing_programs

RUN_A_GUEST_FOREVER = """
import subprocess, sys, time
import libvirt
from tests.integration.lab.domains import PAUSED_DOMAIN
subprocess.run(["ip", "link", "add", "labtest0", "type", "bridge"], check=True)
libvirt.open("qemu:///system").createXML(PAUSED_DOMAIN, libvirt.VIR_DOMAIN_START_PAUSED)
print("ready", flush=True)
time.sleep(600)
"""


# A user without any right except to read this interpreter, who may use sudo: as most developers are.
AS_A_USER_WITH_SUDO = """
mount -t tmpfs -o mode=0755 tmpfs /etc/sudoers.d
echo 'nobody ALL=(ALL) NOPASSWD:SETENV: ALL' > /etc/sudoers.d/lab
exec setpriv --reuid nobody --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search -- "$@"
"""


def start_lab_with_a_guest(labs: Labs) -> subprocess.Popen[str]:
    lab = labs.start(sys.executable, "-c", RUN_A_GUEST_FOREVER)
    assert lab.stdout is not None
    line = lab.stdout.readline()
    assert line == "ready\n", lab.communicate()[1]
    assert any("qemu-system" in command for command in labs.processes())
    return lab


def test_exit_code_of_the_command_is_passed_on(labs: Labs) -> None:
    assert labs.run("sh", "-c", "exit 42").returncode == 42


def test_death_of_the_command_by_a_signal_is_told_as_a_shell_tells_it(labs: Labs) -> None:
    assert labs.run("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_command_that_does_not_exist_is_named(labs: Labs) -> None:
    done = labs.run("no-such-command")
    assert (done.returncode, done.stderr) == (127, "lab: no-such-command: No such file or directory\n")


def test_standard_streams_are_passed_through(labs: Labs) -> None:
    done = labs.run("sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_lab_too_small_to_be_set_up_says_so(labs: Labs) -> None:
    done = labs.run("true", options=("--size", "nonsense"))
    assert done.returncode == LAB_FAILED
    assert "lab: cannot be set up: " in done.stderr
    assert "/run" in done.stderr


def test_configuration_of_the_caller_stays_outside(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMCLUSTER_STATE_DIR", "/srv/precious")
    done = labs.run("sh", "-c", 'echo "${VMCLUSTER_STATE_DIR-unset} $VMCLUSTER_LAB"')
    assert done.stdout == "unset 1\n"


def test_image_directory_of_the_host_is_visible_and_cannot_be_written(labs: Labs, tmp_path: Path) -> None:
    (tmp_path / "base.qcow2").write_text("image")
    done = labs.run(
        "sh",
        "-c",
        f"cat {IMAGE_DIR}/base.qcow2 {tmp_path}/base.qcow2; touch {IMAGE_DIR}/x {tmp_path}/x",
        options=("--image-dir", str(tmp_path)),
    )
    assert done.stdout == "imageimage"
    assert "Read-only file system" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["base.qcow2"]


def test_lab_that_succeeds_leaves_nothing(labs: Labs) -> None:
    before = observe_traces()
    assert labs.run("sh", "-c", "touch /etc/vmcluster/x /var/lib/vmcluster/x /var/lib/libvirt/x").returncode == 0
    labs.wait_until_all_ended()
    assert observe_traces() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_lab_that_is_ended_by_a_signal_leaves_nothing(labs: Labs, number: signal.Signals) -> None:
    before = observe_traces()
    lab = start_lab_with_a_guest(labs)
    lab.send_signal(number)
    lab.communicate(timeout=LAB_TIMEOUT_S)
    labs.wait_until_all_ended()
    assert lab.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert observe_traces() == before


def test_signal_while_the_lab_is_being_set_up_ends_it(labs: Labs) -> None:
    lab = labs.start("sleep", "600")
    while not any("tests.lab.provision" in command for command in labs.processes()):
        assert lab.poll() is None
    lab.send_signal(signal.SIGTERM)
    lab.communicate(timeout=LAB_TIMEOUT_S)
    assert lab.returncode == 128 + signal.SIGTERM


def test_two_labs_at_once_do_not_see_each_other(labs: Labs) -> None:
    first, second = start_lab_with_a_guest(labs), start_lab_with_a_guest(labs)
    for lab in (first, second):
        lab.terminate()
        lab.communicate(timeout=LAB_TIMEOUT_S)


@pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
def test_ordinary_user_gets_a_lab_through_sudo(labs: Labs) -> None:
    question = 'echo "$(id -u) $SUDO_USER $VMCLUSTER_TEST_WORD $PYTHONDONTWRITEBYTECODE"; exit 5'
    lab = [sys.executable, "-m", "tests.lab", "--", "sh", "-c", question]
    done = labs.run("env", "VMCLUSTER_TEST_WORD=kept", "sh", "-c", AS_A_USER_WITH_SUDO, "sh", *lab)
    assert (done.returncode, done.stdout) == (5, "0 nobody kept 1\n"), done.stderr


def test_missing_programs_are_told_with_the_packages_that_bring_them() -> None:
    assert missing_programs("/nowhere") == list(PACKAGES)
    assert missing_message(["libvirtd", "virtlogd", "ip"]) == (
        "lab: not installed: libvirtd, virtlogd, ip\n"
        "lab: on Debian and Ubuntu: sudo apt-get install --no-install-recommends iproute2 libvirt-daemon-system"
    )


def test_outside_a_lab_integration_tests_stop_at_once_and_say_what_to_type(tmp_path: Path) -> None:
    tree = tmp_path / "tests"
    shutil.copytree(REPOSITORY / "tests" / "lab", tree / "lab")
    shutil.copy(REPOSITORY / "tests" / "conftest.py", tree)
    (tree / "integration").mkdir()
    for package in (tree, tree / "integration"):
        (package / "__init__.py").touch()
    (tree / "integration" / "test_host.py").write_text("def test_would_change_the_host(): raise SystemExit")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "VMCLUSTER_LAB"},
        capture_output=True,
        text=True,
        timeout=LAB_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "python -m tests.lab -- pytest tests/integration" in done.stdout + done.stderr
