"""The shell that decides in the guest whether cloud-init's later stages are started; it runs here for real."""

import json
import subprocess
from pathlib import Path

import pytest

from reconciler.image.overlay import LATER_STAGES_PATH, ROOT
from tests.waiting import PATIENCE_S

QUIET = """\
#cloud-config

# from 1 files
# part-001

---
bootcmd:
-   - sh
    - -c
    - 'true'
hostname: n0
ssh_keys:
    ed25519_private: '-----BEGIN OPENSSH PRIVATE KEY-----

        b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE

        -----END OPENSSH PRIVATE KEY-----

        '
ssh_pwauth: false
users: []
...
"""
DONE = json.dumps({"v1": {"init-local": {"errors": [], "finished": 2.0, "start": 1.0}}}, indent=1)


def needed(tmp_path: Path, cloud_config: str, status: str = DONE, script: str | None = None) -> bool:
    """Run the program with its absolute paths moved below `tmp_path`."""
    instance = tmp_path / "var/lib/cloud/instance"
    instance.mkdir(parents=True)
    (tmp_path / "run/cloud-init").mkdir(parents=True)
    (instance / "cloud-config.txt").write_text(cloud_config)
    (tmp_path / "run/cloud-init/status.json").write_text(status + "\n")
    if script is not None:
        (tmp_path / script).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / script).write_text("#!/bin/sh\n")
    program = (ROOT / "programs" / LATER_STAGES_PATH).read_text()
    program = program.replace("/var/lib/cloud", f"{tmp_path}/var/lib/cloud").replace("/run/", f"{tmp_path}/run/")
    program = program.replace("/lib/systemd/systemd-networkd-wait-online", "true")
    done = subprocess.run(["/bin/sh", "-eu", "-c", program], capture_output=True, check=False, timeout=PATIENCE_S)
    assert done.stderr == b""
    return done.returncode == 0


def test_our_plain_seed_needs_no_more_than_the_first_stage(tmp_path: Path) -> None:
    assert not needed(tmp_path, QUIET)


@pytest.mark.parametrize(
    "asked",
    [
        "runcmd:\n-   - touch\n    - /ran\n",
        "packages:\n- strace\n",
        "write_files:\n-   path: /x\n    defer: true\n",
        "ssh_pwauth: true\n",
        "chpasswd:\n    expire: false\n",
        "something_that_nobody_has_heard_of: 1\n",
    ],
)
def test_anything_that_the_first_stage_does_not_finish_brings_the_others_back(tmp_path: Path, asked: str) -> None:
    assert needed(tmp_path, QUIET.replace("...\n", asked + "...\n"))


def test_a_script_of_the_user_brings_them_back(tmp_path: Path) -> None:
    assert needed(tmp_path, QUIET, script="var/lib/cloud/instance/scripts/part-002")


def test_a_script_for_every_boot_brings_them_back(tmp_path: Path) -> None:
    assert needed(tmp_path, QUIET, script="var/lib/cloud/scripts/per-boot/mine")


def test_an_error_in_the_first_stage_is_left_for_cloud_init_to_report(tmp_path: Path) -> None:
    failed = json.dumps({"v1": {"init-local": {"errors": ["no space"], "finished": 2.0}}}, indent=1)
    assert needed(tmp_path, QUIET, status=failed)
