"""The commands that tell other programs how to log in."""

import json
from pathlib import Path

import pytest

from reconciler.frontends.cli import login_commands
from reconciler.model.record import ClusterRecord

from .conftest import Invoke


def test_without_a_cluster_there_is_a_configuration_of_nothing(invoke: Invoke) -> None:
    ended = invoke("ssh-config")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("# Made by `vmcluster ssh-config`")
    assert json.loads(invoke("inventory", "--list").out) == {"_meta": {"hostvars": {}}}
    assert json.loads(invoke("inventory", "--host", "nope").out) == {}


def test_why_a_cluster_is_left_out_is_on_standard_error(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("inventory", "-o", "ini")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("lab is not included: the SSH key of cluster 'lab', /etc/key, is not there")
    named = invoke("ssh-config", "lab")
    assert (named.code, named.out) == (1, "")
    assert "error [SSH_ERROR]" in named.err


def test_what_is_written_for_all_clusters_takes_no_names(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_commands, "_ssh_dir", lambda: tmp_path / ".ssh")
    for words in (["--write", "lab"], ["--write", "--remove"]):
        ended = invoke("ssh-config", *words)
        assert ended.code == 1
        assert "--write and --remove are for all clusters, and exclude each other" in ended.err
    assert invoke("ssh-config", "--write").code == 0
    assert "vmcluster_config" in (tmp_path / ".ssh" / "config").read_text()
    assert invoke("ssh-config", "--remove").code == 0
    assert not (tmp_path / ".ssh" / "config").exists(), "it was made for that line"
