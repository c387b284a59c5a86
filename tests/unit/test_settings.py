"""Configuration comes from the environment, then the file, then the defaults."""

import os
import socket
from pathlib import Path

import pytest

from reconciler.errors import ConfigurationInvalid
from reconciler.settings import LogLevel, Settings, load_settings

CONTRACT = {
    "topology_dir": "/etc/vmcluster/topologies",
    "overlay_dir": "/var/lib/vmcluster/overlays",
    "template_dir": "/var/lib/vmcluster/templates",
    "image_dir": "/var/lib/vmcluster/images",
    "artifact_registry": "/var/lib/vmcluster/artifacts/registry.json",
    "artifact_store_dir": "/var/lib/vmcluster/artifacts/trees",
    "fault_registry": "/var/lib/vmcluster/faults/registry.json",
    "ssh_key_path": "/etc/vmcluster/ssh/vmcluster_id_ed25519",
    "ssh_user": "root",
    "libvirt_uri": "qemu:///system",
    "log_level": "INFO",
    "state_dir": "/var/lib/vmcluster/state",
    "firewall": "auto",
    "resync_s": 30.0,
    "console_log_mb": 64,
    "metrics_port": 0,
    "store": None,
    "store_ca_file": None,
    "store_cert_file": None,
    "store_key_file": None,
    "store_password_file": None,
    "host_name": None,
    "host_address": None,
    "host_labels": {},
    "host_image_port": 4790,
    "host_read_roots": None,
    "host_write_roots": None,
    "disk_roots": None,
    "mcp_read_only": False,
    "mcp_toolsets": None,
    "mcp_confirm": "never",
}


NOT_ALONE = {"store_cert_file", "store_key_file", "store_password_file"}


def load(directory: Path, **environ: str) -> Settings:
    paths = {"default_path": directory / "default.yaml", "user_file": directory / "user.yaml"}
    return load_settings({"HOME": "/home/someone", **environ}, **paths)


def test_without_file_and_environment_the_defaults_of_the_contract_hold(tmp_path: Path) -> None:
    assert load(tmp_path).model_dump(mode="json") == CONTRACT


@pytest.mark.parametrize("key", sorted(CONTRACT.keys() - NOT_ALONE - {"host_labels"}))
def test_each_key_is_taken_from_the_environment_before_the_file_before_the_default(key: str, tmp_path: Path) -> None:
    values: dict[str, tuple[str | float, str | float]] = {
        "ssh_user": ("tester", "admin"),
        "libvirt_uri": ("qemu+unix:///system", "qemu:///system?socket=/run/other/libvirt-sock&mode=legacy"),
        "log_level": ("DEBUG", "ERROR"),
        "firewall": ("iptables", "nftables"),
        "store": ("etcd://localhost", "etcd://[::1]:2379,127.0.0.1"),
        "resync_s": (5.0, 10.5),
        "console_log_mb": (8, 16),
        "metrics_port": (9177, 9178),
        "host_name": ("one", "two"),
        "host_image_port": (4791, 4792),
        "host_address": ("10.0.0.1", "fd00::2"),
        "mcp_read_only": (True, False),
        "mcp_toolsets": ("exec", "snapshot"),
        "mcp_confirm": ("destructive", "never"),
    }
    in_file, in_environment = values.get(key, ("/from/file", "/from/environment"))
    (tmp_path / "default.yaml").write_text(f"{key}: {in_file}\n")
    listed = (lambda value: [value]) if key.endswith(("_roots", "_toolsets")) else (lambda value: value)
    assert load(tmp_path).model_dump(mode="json") == CONTRACT | {key: listed(in_file)}
    variable = {f"VMCLUSTER_{key.upper()}": str(in_environment)}
    assert load(tmp_path, **variable).model_dump(mode="json") == CONTRACT | {key: listed(in_environment)}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"STORE": "http://localhost:2379"}, "'http://localhost:2379' is not the address of an etcd"),
        ({"STORE": "etcd://u:secret@localhost"}, "a password belongs in its own file"),
        ({"STORE": "etcd://10.0.0.1"}, "store: 10.0.0.1:2379: an etcd on another host is reached with TLS only"),
        ({"STORE": "etcd://localhost", "STORE_CERT_FILE": "/c"}, "belong together"),
        ({"STORE": "etcd://u@localhost"}, "`store_password_file` belong together"),
    ],
)
def test_a_store_that_cannot_be_spoken_to_safely_is_refused(environ: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        load(tmp_path, **{f"VMCLUSTER_{key}": value for key, value in environ.items()})
    assert said in str(refused.value)


def test_what_belongs_to_a_store_comes_from_file_and_environment_together(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("store: etcd://u@10.0.0.1\nstore_ca_file: /ca\nstore_cert_file: /c\n")
    settings = load(tmp_path, VMCLUSTER_STORE_KEY_FILE="/k", VMCLUSTER_STORE_PASSWORD_FILE="/p")
    assert settings.etcd is not None
    assert str(settings.etcd[0]) == "etcd://10.0.0.1:2379"
    assert settings.etcd[1].password_file == Path("/p")
    assert load(tmp_path, **settings.as_environment()) == settings


def test_roots_are_a_list_in_the_file_and_parted_by_colons_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("host_read_roots: [/srv/a, ~/b]\ndisk_roots: []\n")
    assert load(tmp_path).host_read_roots == (Path("/srv/a"), Path("/home/someone/b"))
    assert load(tmp_path).disk_roots == ()
    assert load(tmp_path, VMCLUSTER_DISK_ROOTS="/srv:/mnt/disks:").disk_roots == (Path("/srv"), Path("/mnt/disks"))
    settings = load(tmp_path, VMCLUSTER_DISK_ROOTS="/srv:/mnt/disks")
    assert load(tmp_path, **settings.as_environment()) == settings
    with pytest.raises(ConfigurationInvalid, match=r"VMCLUSTER_DISK_ROOTS: 'srv' is a relative path"):
        load(tmp_path, VMCLUSTER_DISK_ROOTS="/ok:srv")


def test_toolsets_are_a_list_in_the_file_and_parted_by_commas_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("mcp_toolsets: [exec, observe]\n")
    assert load(tmp_path).mcp_toolsets == ("exec", "observe")
    settings = load(tmp_path, VMCLUSTER_MCP_TOOLSETS="Exec, fault")
    assert settings.mcp_toolsets == ("exec", "fault")
    assert load(tmp_path, **settings.as_environment()) == settings
    for wrong in ("exec,everything", ","):
        with pytest.raises(ConfigurationInvalid, match="VMCLUSTER_MCP_TOOLSETS"):
            load(tmp_path, VMCLUSTER_MCP_TOOLSETS=wrong)


def test_labels_are_a_mapping_in_the_file_and_pairs_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("host_labels: {rack: r1, gpu: 'yes'}\n")
    assert load(tmp_path).host_labels == {"rack": "r1", "gpu": "yes"}
    settings = load(tmp_path, VMCLUSTER_HOST_LABELS="rack=r2,disk=nvme")
    assert settings.host_labels == {"rack": "r2", "disk": "nvme"}
    assert load(tmp_path, **settings.as_environment()) == settings
    with pytest.raises(ConfigurationInvalid, match=r"VMCLUSTER_HOST_LABELS: 'nvme' is not a label .*KEY=VALUE"):
        load(tmp_path, VMCLUSTER_HOST_LABELS="nvme")


def test_a_host_has_a_name_only_where_the_store_is_shared(tmp_path: Path) -> None:
    assert load(tmp_path, VMCLUSTER_HOST_NAME="one").own_host == ""
    shared = {"VMCLUSTER_STORE": "etcd://localhost"}
    assert load(tmp_path, **shared, VMCLUSTER_HOST_NAME="one").own_host == "one"
    assert load(tmp_path, **shared).own_host == socket.gethostname().partition(".")[0]


def test_the_users_file_counts_only_where_the_default_one_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "user.yaml").write_text("ssh_user: own\n")
    assert load(tmp_path).ssh_user == "own"
    (tmp_path / "default.yaml").write_text("ssh_user: system\n")
    assert load(tmp_path).ssh_user == "system"
    (tmp_path / "default.yaml").unlink()
    (tmp_path / "default.yaml").mkdir()
    assert load(tmp_path).ssh_user == "own"


def test_a_file_named_by_the_environment_is_the_only_one_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("ssh_user: system\n")
    (tmp_path / "chosen.yaml").write_text("log_level: warning\n")
    chosen = load(tmp_path, VMCLUSTER_CONFIG=str(tmp_path / "chosen.yaml"))
    assert (chosen.ssh_user, chosen.log_level) == ("root", LogLevel.WARNING)
    with pytest.raises(ConfigurationInvalid, match=r"absent\.yaml: No such file.*unset VMCLUSTER_CONFIG"):
        load(tmp_path, VMCLUSTER_CONFIG=str(tmp_path / "absent.yaml"))


def test_a_variable_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, VMCLUSTER_SSH_USER="", VMCLUSTER_CONFIG="").ssh_user == "root"


def test_an_empty_file_and_unknown_variables_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("# all defaults\n\n")
    assert load(tmp_path, VMCLUSTER_OTHER="x").model_dump(mode="json") == CONTRACT


def test_a_path_may_begin_with_the_home_directory(tmp_path: Path) -> None:
    assert load(tmp_path, VMCLUSTER_STATE_DIR="~/state").state_dir == Path("/home/someone/state")


def test_every_problem_of_file_and_environment_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text("overlay_dri: /x\nlog_level: loud\nstate_dir: state\nssh_user: 5\n")
    with pytest.raises(ConfigurationInvalid) as refusal:
        load(tmp_path, VMCLUSTER_LIBVIRT_URI="system", VMCLUSTER_OVERLAY_DIR="overlays")
    absolute = "is a relative path (write an absolute path, starting with '/')"
    libvirt = "is not allowed (use a libvirt connection URI such as qemu:///system)"
    assert str(refusal.value).splitlines() == [
        f"4 problems in {path}:",
        f"{path}:1:1: overlay_dri: unknown key (did you mean overlay_dir?)",
        f"{path}:2:12: log_level: 'LOUD' is not known (use 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL')",
        f"{path}:3:12: state_dir: 'state' {absolute}",
        f'{path}:4:11: ssh_user: 5 is a number, but must be text (put it in quotes: "5")',
        f"environment variable VMCLUSTER_OVERLAY_DIR: 'overlays' {absolute}",
        f"environment variable VMCLUSTER_LIBVIRT_URI: 'system' {libvirt} (correct the configuration and try again)",
    ]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("qemu+ssh://root@other/system", "disks, taps and firewall rules are created on this one only"),
        ("qemu+tcp://other/system", "is a libvirt of another host"),
        ("qemu+tls:///system", "is a libvirt of another host"),
        ("qemu+libssh2://other:2222/system?known_hosts=/x", "is a libvirt of another host"),
        ("qemu+ext:///system?command=/usr/bin/nc", "is a libvirt of another host"),
        ("qemu://other/system", "is a libvirt of another host"),
        ("qemu://localhost/system", "is a libvirt of another host"),
        ("qemu+unix://other/system", "is a libvirt of another host"),
        ("test+ssh://other/default", "is a libvirt of another host"),
        ("qemu:///session", "is a user's own libvirt"),
        ("qemu+unix:///session", "is a user's own libvirt"),
        ("qemu:///embed?root=/x", "is not the system's libvirt for QEMU"),
        ("qemu:///system?name=test:///default", "is not the system's libvirt for QEMU"),
        ("qemu:///system/", "is not the system's libvirt for QEMU"),
        ("test:///default", "is not the system's libvirt for QEMU"),
        ("xen:///system", "is not the system's libvirt for QEMU"),
    ],
)
def test_a_libvirt_that_is_not_this_hosts_own_is_refused_with_the_reason(uri: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="VMCLUSTER_LIBVIRT_URI: ") as in_environment:
        load(tmp_path, VMCLUSTER_LIBVIRT_URI=uri)
    (tmp_path / "default.yaml").write_text(f"libvirt_uri: {uri}\n")
    with pytest.raises(ConfigurationInvalid, match=r"default\.yaml:1:14: libvirt_uri: ") as in_file:
        load(tmp_path)
    for refusal in (in_environment, in_file):
        assert repr(uri) in str(refusal.value)
        assert why in str(refusal.value)
        assert "qemu:///system)" in str(refusal.value)


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", "\tx: 1\n", "a: 1\n---\nb: 2\n"])
def test_a_file_that_is_no_mapping_is_refused_at_its_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text(content)
    with pytest.raises(ConfigurationInvalid, match=r"default\.yaml:\d+:\d+: "):
        load(tmp_path)


def test_the_process_has_its_own_environment_and_a_file_in_the_users_configuration_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("VMCLUSTER_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("VMCLUSTER_SSH_USER", "admin")
    (tmp_path / "vmcluster").mkdir()
    (tmp_path / "vmcluster" / "config.yaml").write_text("ssh_user: tester\nlog_level: ERROR\n")
    found = load_settings(default_path=tmp_path / "absent.yaml")
    assert (found.ssh_user, found.log_level) == ("admin", LogLevel.ERROR)


@pytest.mark.parametrize(
    "content", ["root:$6$SECRET:1::\n", "SECRET: 1\n", "- SECRET\n", "a: *SECRET\n", "SECRET: 'x\n"]
)
def test_nothing_is_quoted_of_a_file_that_is_no_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / "other").write_text(content)
    with pytest.raises(ConfigurationInvalid) as refusal:
        load(tmp_path, VMCLUSTER_CONFIG=str(tmp_path / "other"))
    assert "SECRET" not in str(refusal.value)
