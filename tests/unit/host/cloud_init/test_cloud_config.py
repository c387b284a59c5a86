"""What of a user's cloud-config can stand beside ours, and how two become one."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from reconciler.host.cloud_init.cloud_config import (
    merge_cloud_config,
    required_values,
    shape_problems,
    value_problems,
)
from reconciler.host.cloud_init.seed_codec import render_seed

from .test_seed_codec import ROOT_ON_NAT

KEY = ROOT_ON_NAT.ssh_public_key
OURS = {
    "name": "tester",
    "shell": "/bin/bash",
    "lock_passwd": True,
    "sudo": "ALL=(ALL) NOPASSWD:ALL",
    "ssh_authorized_keys": [KEY],
}


def seed_of(user_data: dict[str, Any], ssh_user: str = "tester") -> dict[str, Any]:
    inputs = replace(ROOT_ON_NAT, ssh_user=ssh_user, user_data=user_data)
    rendered: dict[str, Any] = yaml.safe_load(render_seed(inputs, "private", "public").user_data)
    return rendered


def test_mappings_merge_lists_append_and_single_values_are_replaced() -> None:
    base = {"a": {"x": 1, "l": [1]}, "b": [1], "c": 1, "d": 1, "k": [1], "m": {"x": 1}}
    over = {"a": {"l": [2], "y": 2}, "b": [2], "c": 2, "e": 2, "k": {"x": 1}, "m": None}
    before = yaml.safe_dump([base, over])
    assert merge_cloud_config(base, over) == {
        "a": {"x": 1, "l": [1, 2], "y": 2},
        "b": [1, 2],
        "c": 2,
        "d": 1,
        "e": 2,
        "k": {"x": 1},
        "m": None,
    }
    assert yaml.safe_dump([base, over]) == before


@pytest.mark.parametrize(
    ("users", "same"),
    [
        ("default, alice", ["default", "alice"]),
        (["default,alice", ["bob"]], ["default", "alice", "bob"]),
        ({"default": True, "alice": {"uid": 7}, "bob": False, "carol": "no"}, ["default", {"uid": 7, "name": "alice"}]),
        ([{"name": "alice", "uid": 7}, "alice", {"name": "alice", "shell": "/bin/sh"}],
         [{"name": "alice", "uid": 7, "shell": "/bin/sh"}]),
        (None, []),
    ],
)  # fmt: skip
def test_accounts_in_every_form_become_a_list_with_each_name_once(users: Any, same: list[Any]) -> None:
    assert merge_cloud_config({"users": users}, {})["users"] == same
    assert seed_of({"users": users})["users"] == [OURS, *same]
    assert seed_of({"users": users}, "root")["users"] == same


def test_a_nodes_account_is_merged_into_the_clusters_of_that_name() -> None:
    cluster = {"users": [{"name": "bob", "shell": "/bin/sh", "ssh-authorized-keys": "one"}]}
    node = {"users": {"bob": {"shell": "/bin/zsh", "ssh_authorized_keys": ["two"]}}}
    assert merge_cloud_config(cluster, node)["users"] == [
        {"name": "bob", "shell": "/bin/zsh", "ssh_authorized_keys": ["one", "two"]}
    ]


def test_what_a_user_says_of_the_account_that_we_log_in_to_is_kept_beside_our_key() -> None:
    theirs = {"name": "tester", "shell": "/bin/zsh", "uid": 2000, "ssh-authorized-keys": "ssh-ed25519 theirs"}
    merged = {**OURS, "shell": "/bin/zsh", "uid": 2000, "ssh_authorized_keys": [KEY, "ssh-ed25519 theirs"]}
    assert seed_of({"users": [theirs, "tester"]})["users"] == [merged]


@pytest.mark.parametrize("entry", [{"name": "default"}, {}])
def test_the_images_own_user_has_our_key_too_where_keys_are_given_it(entry: dict[str, Any]) -> None:
    entry = {**entry, "ssh_authorized_keys": ["theirs"]}
    assert seed_of({"users": [entry]})["users"][1]["ssh_authorized_keys"] == [KEY, "theirs"]
    assert seed_of({"user": entry})["user"]["ssh_authorized_keys"] == [KEY, "theirs"]
    assert seed_of({"users": [entry]}, "root")["users"] == [entry]


def test_keys_as_text_are_one_key_a_line() -> None:
    text = "ssh-ed25519 one\nssh-ed25519 two\n"
    assert seed_of({"ssh_authorized_keys": text}, "root")["ssh_authorized_keys"] == [
        KEY,
        "ssh-ed25519 one",
        "ssh-ed25519 two",
    ]


def test_an_empty_value_removes_nothing_that_is_ours() -> None:
    empty = dict.fromkeys(["hostname", "bootcmd", "ssh_authorized_keys", "users", "ssh_keys"])
    assert seed_of(empty, "root") == seed_of({}, "root")


@pytest.mark.parametrize(
    ("said", "ssh_user", "refused"),
    [
        ({"hostname": "n1", "preserve_hostname": False, "manage_etc_hosts": "no", "ssh_deletekeys": 1}, "root", []),
        ({"disable_root": False}, "root", []),
        ({"disable_root": True}, "tester", []),
        ({"disable_root": True, "hostname": "n2"}, "root", ["hostname", "disable_root"]),
        ({"manage_etc_hosts": "localhost", "preserve_hostname": 1}, "root", ["preserve_hostname", "manage_etc_hosts"]),
        (dict.fromkeys(["hostname", "disable_root"]), "root", []),
    ],
)
def test_values_equal_to_those_needed_may_be_said(said: dict[str, Any], ssh_user: str, refused: list[str]) -> None:
    found = value_problems(said, required_values("n1", ssh_user))
    assert [place for place, _ in found] == [(key,) for key in refused]


def test_an_account_of_another_name_may_be_what_ours_may_not() -> None:
    closed = {"name": "bob", "shell": "/usr/sbin/nologin", "ssh_redirect_user": True}
    assert list(shape_problems({"users": [closed]}, "tester")) == []
    assert [place for place, _ in shape_problems({"users": [closed]}, "bob")] == [
        ("users", 0, "ssh_redirect_user"),
        ("users", 0, "shell"),
    ]
    assert list(shape_problems({"users": {"bob": closed}}, None)) == []


def problems(user_data: dict[str, Any], ssh_user: str = "root") -> list[tuple[tuple[str | int, ...], str]]:
    return list(shape_problems(user_data, ssh_user))


@pytest.mark.parametrize(
    ("said", "place", "remedy"),
    [
        ({"runcmd": ["a", {"echo foo": "bar"}]}, ("runcmd", 1), "put the command in quotes"),
        ({"bootcmd": [5]}, ("bootcmd", 0), "put the command in quotes"),
        ({"runcmd": [True]}, ("runcmd", 0), "true is not text"),
        ({"runcmd": [["sleep", [5]]]}, ("runcmd", 0), "write each word as text"),
        ({"runcmd": "echo"}, ("runcmd",), "must be a list"),
        ({"write_files": [{"content": "x"}]}, ("write_files", 0, "path"), "is missing"),
        ({"write_files": [{"path": 5}]}, ("write_files", 0, "path"), "5 is not a path"),
        ({"write_files": [{"path": "~/x"}]}, ("write_files", 0, "path"), "write an absolute path"),
        ({"write_files": [{"path": "/x", "content": 5}]}, ("write_files", 0, "content"), "put it in quotes"),
        ({"write_files": [{"path": "/x", "content": None}]}, ("write_files", 0, "content"), "put it in quotes"),
        ({"write_files": [{"path": "/x", "owner": 0}]}, ("write_files", 0, "owner"), "put it in quotes"),
        ({"write_files": [{"path": "/x", "encoding": "utf16"}]}, ("write_files", 0, "encoding"), "write b64 or gz+b64"),
        ({"write_files": [{"path": "/x", "content": "!", "encoding": "b64"}]}, ("write_files", 0, "encoding"),
         "base64 -w0"),
        ({"write_files": [{"path": "/x", "content": "aGk=", "encoding": "gz+b64"}]}, ("write_files", 0, "encoding"),
         "gzip -c"),
        ({"write_files": [{"path": "/x", "permissions": "-644"}]}, ("write_files", 0, "permissions"), "a file mode"),
        ({"write_files": [{"path": "/x", "permissions": 4096}]}, ("write_files", 0, "permissions"), "not a file mode"),
        ({"write_files": [{"path": "//etc/ssh/ssh_host_rsa_key"}]}, ("write_files", 0, "path"), "remove it"),
        ({"write_files": [{"path": "/root/.ssh/authorized_keys"}]}, ("write_files", 0, "path"), "ssh_authorized_keys"),
        ({"run_cmd": []}, ("run_cmd",), "did you mean runcmd?"),
        ({"ssh-authorized-keys": []}, ("ssh-authorized-keys",), "did you mean ssh_authorized_keys?"),
        ({"Packages": []}, ("Packages",), "did you mean packages?"),
        ({"#cloud-config": None}, ("#cloud-config",), "its keys belong directly here"),
        ({"user-data": {"runcmd": []}}, ("user-data",), "its keys belong directly here"),
        ({"autoinstall": {"version": 1}}, ("autoinstall",), "write its `user-data` directly here"),
        ({"ignition": {}}, ("ignition",), "write cloud-config"),
        ({"instance-id": "i-1"}, ("instance-id",), "meta-data only"),
        ({"local_hostname": "web"}, ("local_hostname",), "meta-data only"),
        ({"system_info": {"default_user": {"name": "bob"}}}, ("system_info",), "/etc/cloud only"),
        ({"system-info": {"default_user": {"name": "bob"}}}, ("system-info",), "/etc/cloud only"),
        ({"variant": "fcos", "version": "1.5.0"}, ("variant",), "write cloud-config"),
        ({"users": [{"alice": {"shell": "/bin/zsh"}}]}, ("users", 0), "has no `name`"),
        ({"users": [{"name": "al ice"}]}, ("users", 0, "name"), "is no name that useradd takes"),
        ({"users": [{"name": "007"}]}, ("users", 0, "name"), "is no name that useradd takes"),
        ({"users": ["default", "bob, al/ice"]}, ("users", 1), "is no name that useradd takes"),
        ({"merge_how": "list(append)"}, ("merge_how",), "in one piece"),
        ({"merge_type": [{"name": "list"}]}, ("merge_type",), "in one piece"),
        ({"users": [{"name": "bob", "sudo": True}]}, ("users", 0, "sudo"), "must be a rule as text"),
        ({"users": [{"name": "bob", "groups": 5}]}, ("users", 0, "groups"), "must be names of groups"),
        ({"users": [{"name": "root", "shell": "/bin/true"}]}, ("users", 0, "shell"), "lock vmcluster out"),
        ({"users": [{"name": "root", "expiredate": "2012-09-01"}]}, ("users", 0, "expiredate"), "lock vmcluster"),
        ({"user": 5}, ("user",), "must be a name"),
        ({"groups": 5}, ("groups",), "must be a list of groups"),
        ({"mounts": "vdb"}, ("mounts",), "must be a list of lists"),
        ({"mounts": [["vdb", "/srv"], "vdc"]}, ("mounts", 1), "must be a list"),
        ({"fs_setup": [3]}, ("fs_setup", 0), "must be a mapping"),
        ({"disk_setup": []}, ("disk_setup",), "must be a mapping"),
        ({"ssh_pwauth": "maybe"}, ("ssh_pwauth",), "neither true, false"),
        ({"ssh_authorized_keys": "nonsense"}, ("ssh_authorized_keys",), "is not a public key"),
        ({"ssh_publish_hostkeys": False}, ("ssh_publish_hostkeys",), "must be a mapping"),
        ({"ssh_authorized_keys": ["~/.ssh/id.pub"]}, ("ssh_authorized_keys", 0), "is not a public key"),
        ({"prefer_fqdn_over_hostname": True}, ("prefer_fqdn_over_hostname",), "a node's name is its host name"),
        ({"users": [{"name": "bob", "system": True, "ssh-authorized-keys": []}, {"name": "al", "no_create_home": True,
          "ssh_import_id": ["gh:al"]}]}, ("users", 1, "no_create_home"), "leave it out, or the keys"),
        ({"chpasswd": ["alice:x"]}, ("chpasswd",), "must be a mapping"),
        ({"chpasswd": {"expire": False, "list": [{"alice": "x"}]}}, ("chpasswd", "list", 0), "put each in quotes"),
        ({"chpasswd": {"expire": False, "list": "alice:x\n\nbob:y"}}, ("chpasswd", "list"), "'' is not a line"),
        ({"chpasswd": {"users": {"alice": "x"}}}, ("chpasswd", "users"), "must be a list of mappings"),
        ({"chpasswd": {"users": [{"password": "x"}]}}, ("chpasswd", "users", 0), "has no `name`"),
        ({"chpasswd": {"users": [{"name": "al", "type": "sha"}]}}, ("chpasswd", "users", 0, "type"), "text, hash"),
        ({"groups": [1000]}, ("groups", 0), "is not a group name"),
        ({"groups": [{"admins": None}]}, ("groups", 0, "admins"), "must be names"),
        ({"groups": {"admins": [5]}}, ("groups", "admins"), "must be names"),
        ({"packages": ["git", {"vim": 1}]}, ("packages", 1), "write `[name, version]`"),
        ({"packages": [7]}, ("packages", 0), "must be a name as text"),
        ({"packages": [["git", 1.1]]}, ("packages", 0), "both as text"),
        ({"packages": {"git": {}}}, ("packages",), "must be a list of names"),
        ({"ntp": {"servers": "a.example.com"}}, ("ntp", "servers"), "must be a list"),
        ({"ntp": True}, ("ntp",), "must be a mapping"),
        ({"apt": {"sources": ["deb ..."]}}, ("apt", "sources"), "must be a mapping"),
        ({"power_state": "poweroff"}, ("power_state",), "must be a mapping"),
        ({"power_state": {"delay": "now"}}, ("power_state",), "write `mode: poweroff`"),
        ({"power_state": {"mode": "shutdown"}}, ("power_state", "mode"), "write poweroff, reboot, halt"),
        ({"growpart": {"mode": "on"}}, ("growpart", "mode"), "is not known"),
        ({"keyboard": {"layout": False}}, ("keyboard", "layout"), "put it in quotes"),
        ({"timezone": 5}, ("timezone",), "put it in quotes"),
        ({"fqdn": 5}, ("fqdn",), "put it in quotes"),
        ({"fqdn": "n1.example.com."}, ("fqdn",), "is no name of a host"),
        ({"fqdn": "n1.example.com\n10.0.0.1 registry"}, ("fqdn",), "is no name of a host"),
        ({"fqdn": "-n1.example.com"}, ("fqdn",), "is no name of a host"),
        ({"fqdn": f"{'a.' * 127}com"}, ("fqdn",), "is no name of a host"),
        ({"swap": "1G"}, ("swap",), "must be a mapping"),
        ({"chpasswd": {"list": "root:x\n"}}, ("chpasswd",), "add `expire: false`"),
        ({"chpasswd": {"list": ["root:x"], "expire": True}}, ("chpasswd",), "add `expire: false`"),
        ({"chpasswd": {"users": [{"name": "root", "password": "x"}]}}, ("chpasswd",), "add `expire: false`"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cloud_init_would_pass_over_or_stumble_at_is_refused_where_it_stands(
    said: dict[str, Any], place: tuple[str | int, ...], remedy: str
) -> None:
    [(where, why)] = problems(said)
    assert where == place
    assert remedy in why


@pytest.mark.parametrize(
    "said",
    [
        {"runcmd": ["echo", ["sleep", 5], None], "bootcmd": ["echo"]},
        {"write_files": [{"path": "/x"}, {"path": "/y", "content": "", "owner": None, "encoding": None}]},
        {"write_files": [{"path": "/x", "content": "aG\nk=\n", "encoding": "B64", "permissions": 420}]},
        {"write_files": [{"path": "/x", "source": {"uri": "file:///y"}, "defer": True, "permissions": "0o644"}]},
        {"packages": ["a", ["b", "1"]], "ca-certs": {}, "grub-dpkg": {}, "ubuntu_pro": {}, "mymodule": {}},
        {"users": ["default", {"name": "bob", "sudo": None, "groups": "a, b"}, {"snapuser": "me@example.com"}]},
        {"users": [{"name": "bob", "sudo": ["ALL"], "groups": {"a": 1}, "expiredate": "2012-09-01"}]},
        {"chpasswd": {"list": "root:x", "expire": False}, "groups": ["admins", {"a": ["bob"]}], "user": "me"},
        {"chpasswd": {"list": "bob:x"}, "fqdn": "n1.example.com", "prefer_fqdn_over_hostname": False},
        {"users": [{"name": "bob", "system": True}, {"name": "al", "no_create_home": False, "ssh_import_id": "gh:al"}]},
        {"packages": "git", "groups": {"a": "bob", "b": ["al", "bob"]}, "locale": False, "password": 5, "ntp": None},
        {"packages": [{"apt": ["git"]}, {"snap": [["lxd", "--edge"]]}], "growpart": {"mode": False, "devices": "/"}},
        {"chpasswd": {"expire": "no", "list": ["alice:R"], "users": [{"name": "al", "type": "RANDOM"}]}},
        {"power_state": {"mode": "reboot", "delay": 5}, "snap": {"commands": {"00": "a"}}, "rsyslog": ["*.* @@x"]},
        {"ssh_authorized_keys": ['no-pty,command="ls" ssh-rsa AAAA x', "ecdsa-sha2-nistp256 AAAA", ""]},
    ],
    ids=str,
)
def test_what_cloud_init_reads_as_it_is_meant_is_taken(said: dict[str, Any]) -> None:
    assert problems(said) == []
