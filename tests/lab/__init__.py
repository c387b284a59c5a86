"""A private libvirt host for tests: `python -m tests.lab [options] -- COMMAND...`.

The command runs in network, mount and process namespaces of its own, with a libvirtd of its own behind the
usual `qemu:///system`. Everything it makes lives in those namespaces and in one tmpfs, so the kernel itself
removes all of it when the lab ends, however it ends.

    launch     outside: checks, sudo, namespaces, passing signals and the exit code on
    init       process 1 inside: reaps every child at once, ends the lab when the outside is gone
    provision  inside, once: the private directories and devices, then the daemons
    mounts     the mount system call, and what the lab's file tree is made of
    daemons    virtlogd and libvirtd: configuration, start, stop, readiness
    hosts      several hosts in one lab, with an etcd: `--hosts 3`
    on         `python -m tests.lab.on 1 -- COMMAND`: a command on one of them

Inside, `VMCLUSTER_LAB=1`. `VMCLUSTER_LAB_DIR` is a directory that QEMU's user may enter (pytest's `tmp_path` is
not: it is 0700), and `TMPDIR` and `HOME` point below it.
"""

import os
import signal
from pathlib import Path

LAB_ROOT = Path("/run/vmcluster-lab")
"""Root of the lab's tmpfs; exists inside a lab only, because `/run` itself is the lab's own there."""

WORK_DIR = LAB_ROOT / "work"
"""Where tests put files that guests use; in the environment as `VMCLUSTER_LAB_DIR`."""

IMAGE_DIR = Path("/var/lib/vmcluster/images")
"""Where the directory that `--image-dir` names is seen inside a lab as well, read-only."""

LAB_FAILED = 125
"""Exit code for a lab that could not be set up, as container runtimes have it; the command never ran."""

FORWARDED_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that reach the command's process group when they are sent to the outside or to process 1."""


def inside_lab() -> bool:
    """Whether this process runs inside a lab."""
    return os.environ.get("VMCLUSTER_LAB") == "1" and LAB_ROOT.is_dir()
