"""`vmcluster setup` on temporary homes: nothing is lost, and `--undo` brings back every byte."""

import json
import os
import pwd
import stat
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.client_setup.accounts import UserAccount, calling_account
from reconciler.model.examination import MissingPackages, Repair
from reconciler.settings import Settings
from reconciler.usecases import host_setup
from reconciler.usecases.client_registration import server_command, sudo_rule

from .conftest import Invoke

CLIENTS = ("setup", "--clients-only", "--yes")
CLAUDE = '{\n  "numStartups": 3,\n  "mcpServers": {\n    "work": {"command": "npx", "env": {"TOKEN": "s"}}\n  }\n}'
VSCODE = '// mine\n{\n\t"servers": {\n\t\t// none yet\n\t},\n\t"inputs": [],\n}\n'
CODEX = '# mine\nmodel = "o4"   # best\n\n[mcp_servers.work]\ncommand = "npx"\n'
GEMINI = '{"theme": "Default", /* dark later */ "mcpServers": {}}'
BROKEN = '{"mcpServers": {"work": {}'
FILES = {
    ".claude.json": CLAUDE,
    ".config/Code/User/mcp.json": VSCODE,
    ".codex/config.toml": CODEX,
    ".gemini/settings.json": GEMINI,
    ".cursor/mcp.json": BROKEN,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with many clients: one file is a link, one is open to others, one is broken, and one is missing."""
    home = tmp_path / "home"
    for name, text in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, newline="")
    (home / ".config" / "Claude").mkdir()
    (home / "dotfiles").mkdir()
    (home / ".codex" / "config.toml").rename(home / "dotfiles" / "codex.toml")
    (home / ".codex" / "config.toml").symlink_to("../dotfiles/codex.toml")
    (home / ".claude.json").chmod(0o640)
    monkeypatch.setenv("HOME", str(home))
    for variable in ("SUDO_UID", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return home


def picture(home: Path) -> dict[str, tuple[object, ...]]:
    """Every file and link below a home, with all that can be told of it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(home.rglob("*")):
        if path.is_symlink():
            found[str(path)] = ("link", str(path.readlink()))
        elif path.is_file():
            status = path.stat()
            found[str(path)] = (stat.S_IMODE(status.st_mode), status.st_mtime_ns, path.read_bytes())
    return found


def servers(home: Path) -> Mapping[str, Any]:
    """The entry of each client that can be read by the book."""
    return {
        "claude": json.loads((home / ".claude.json").read_text())["mcpServers"]["vmcluster"],
        "desktop": json.loads((home / ".config/Claude/claude_desktop_config.json").read_text())["mcpServers"][
            "vmcluster"
        ],
        "codex": tomllib.loads((home / ".codex/config.toml").read_text())["mcp_servers"]["vmcluster"],
    }


def test_clients_are_told_of_the_server_and_keep_all_they_had(invoke: Invoke, home: Path) -> None:
    ended = invoke(*CLIENTS)
    assert ended.code == 0, ended.err
    program = {"command": server_command_here()[0], "args": server_command_here()[1:]}
    assert servers(home) == {"claude": {"type": "stdio", **program}, "desktop": program, "codex": program}
    for name, text in FILES.items():
        lines = (home / name).read_text().splitlines()
        assert all(line in "\n".join(lines) for line in text.splitlines() if name != ".gemini/settings.json")
    assert "/* dark later */" in (home / ".gemini/settings.json").read_text()
    assert (home / ".cursor/mcp.json").read_text() == BROKEN
    assert f"! Cursor: {home}/.cursor/mcp.json is left as it is: " in ended.out
    assert "Claude Code: the server will be added\n" in ended.out
    assert f"not done: Cursor: {home}/.cursor/mcp.json is left as it is: " in ended.out.partition("\ndone; ")[2]
    assert "\\t" not in ended.out
    assert (home / ".codex/config.toml").is_symlink()
    assert stat.S_IMODE((home / ".claude.json").stat().st_mode) == 0o640


def test_undo_brings_back_every_byte_mode_time_and_link(invoke: Invoke, home: Path) -> None:
    before = picture(home)
    invoke(*CLIENTS)
    assert picture(home) != before
    ended = invoke("setup", "--undo", "--yes")
    assert ended.code == 0, ended.err
    assert picture(home) == before
    assert invoke("setup", "--undo", "--yes").out == "nothing to undo\n"


def test_the_difference_is_shown_and_nothing_is_done_without_consent(invoke: Invoke, home: Path) -> None:
    before = picture(home)
    ended = invoke("setup", "--clients-only")
    assert ended.code == 1
    assert "nothing was changed; pass --yes" in ended.err
    assert "+[mcp_servers.vmcluster]\n" in ended.out
    assert '+    "vmcluster": {\n' in ended.out
    assert picture(home) == before


@pytest.mark.parametrize(
    "options",
    [("--undo", "--clients-only"), ("--undo", "--image", "base"), ("--clients-only", "--image", "debian-12")],
)
def test_an_option_that_would_have_no_effect_is_refused(invoke: Invoke, home: Path, options: tuple[str, ...]) -> None:
    before = picture(home)
    ended = invoke("setup", "--yes", *options)
    assert ended.code == 1
    assert options[0] in ended.err
    assert picture(home) == before


def test_a_second_time_there_is_nothing_to_do(invoke: Invoke, home: Path) -> None:
    invoke(*CLIENTS)
    before = picture(home)
    ended = invoke(*CLIENTS)
    assert ended.code == 0
    assert ended.out.endswith("nothing to do\n")
    assert "Claude Code: knows the server already\n" in ended.out
    assert picture(home) == before


def test_an_entry_of_ones_own_is_kept(invoke: Invoke, home: Path) -> None:
    own = '{"mcpServers": {"vmcluster": {"command": "ssh", "args": ["host", "vmcluster-mcp"]}}}'
    (home / ".claude.json").write_text(own)
    ended = invoke(*CLIENTS)
    assert "Claude Code: has an entry `vmcluster` that is kept" in ended.out
    assert (home / ".claude.json").read_text() == own


def test_what_somebody_changed_since_is_shown_and_left_and_the_rest_is_undone(invoke: Invoke, home: Path) -> None:
    before = picture(home)
    invoke(*CLIENTS)
    changed = (home / ".claude.json").read_text().replace('"numStartups": 3', '"numStartups": 4')
    (home / ".claude.json").write_text(changed)
    ended = invoke("setup", "--undo", "--yes")
    assert ended.code == 1
    assert "left as it is" in ended.err
    assert '-  "numStartups": 4,\n' in ended.err
    assert (home / ".claude.json").read_text() == changed
    (home / ".claude.json").write_text(changed.replace('"numStartups": 4', '"numStartups": 3'))
    assert invoke("setup", "--undo", "--yes").code == 0
    assert picture(home) == before


def test_two_clients_that_share_a_file_share_the_entry(invoke: Invoke, home: Path) -> None:
    (home / ".cursor" / "mcp.json").unlink()
    (home / ".cursor" / "mcp.json").symlink_to("../.gemini/settings.json")
    before = picture(home)
    ended = invoke(*CLIENTS)
    assert ended.code == 0, ended.err
    assert "Gemini CLI: uses the file of Cursor\n" in ended.out
    assert (home / ".cursor" / "mcp.json").is_symlink()
    invoke("setup", "--undo", "--yes")
    assert picture(home) == before


def test_clients_are_found_where_their_variables_say(
    invoke: Invoke, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "codex").mkdir()
    (tmp_path / "claude").mkdir()
    (home / ".config").rename(tmp_path / "config")
    (tmp_path / "claude" / ".claude.json").write_text(CLAUDE)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    invoke(*CLIENTS)
    for name in ("codex/config.toml", "claude/.claude.json", "config/Code/User/mcp.json"):
        assert "vmcluster" in (tmp_path / name).read_text()
    assert (home / ".claude.json").read_text() == CLAUDE


def test_a_home_without_clients_is_told_so(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    ended = invoke(*CLIENTS)
    assert ended.out == "no MCP client was found\nnothing to do\n"


@pytest.fixture
def bare(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without configuration and topologies, on which nothing else has to be repaired."""
    for name in ("overlay", "template", "image", "topology"):
        monkeypatch.setenv(f"VMCLUSTER_{name.upper()}_DIR", str(tmp_path / f"{name}s"))
    config = tmp_path / "etc" / "config.yaml"
    monkeypatch.delenv("VMCLUSTER_CONFIG")
    monkeypatch.setattr(host_setup, "DEFAULT_CONFIG_PATH", config)
    monkeypatch.setattr(host_setup, "user_path", lambda: config)
    monkeypatch.setattr(host_setup, "configuration_paths", lambda: (config,))

    async def nothing(*_: object) -> list[Repair]:
        return []

    monkeypatch.setattr(host_setup, "apply_fixes", nothing)
    set_packages(monkeypatch, MissingPackages())
    return tmp_path


def set_packages(monkeypatch: pytest.MonkeyPatch, missing: MissingPackages) -> None:
    async def found() -> MissingPackages:
        return missing

    monkeypatch.setattr(host_setup, "find_missing_packages", found)


def put_image(bare: Path) -> None:
    (bare / "images").mkdir()
    (bare / "images" / "base.qcow2").touch()


def test_a_bare_host_gets_a_configuration_and_a_topology_and_loses_them_again(invoke: Invoke, bare: Path) -> None:
    put_image(bare)
    before = picture(bare / "home")
    ended = invoke("setup", "--yes")
    assert ended.code == 0, ended.err
    assert f"write: {bare}/etc/config.yaml: every setting with its default, as comments\n" in ended.out
    assert f"write: {bare}/topologys/lab.yaml\n--- " in ended.out
    assert "\n+cluster_name: lab\n" in ended.out
    assert "\n#topology_dir: /etc/vmcluster/topologies\n" in (bare / "etc" / "config.yaml").read_text()
    assert "\nbase_image: base " in (bare / "topologys" / "lab.yaml").read_text()
    assert invoke("setup", "--undo", "--yes").code == 0
    assert not (bare / "etc").exists()
    assert not (bare / "topologys").exists()
    assert picture(bare / "home") == before


def test_what_will_be_fixed_is_shown_once_with_its_command(invoke: Invoke, bare: Path) -> None:
    put_image(bare)
    out = invoke("setup").out
    missing = f"directory {bare}/topologys: does not exist"
    assert f"fix: {missing}\n    → `install -d -m 0755 {bare}/topologys`\n" in out
    assert out.count(missing) == 1


def test_the_defaults_in_the_configuration_are_spelled_as_yaml() -> None:
    lines = host_setup.render_configuration().splitlines()
    settings = "\n".join(line[1:] for line in lines if line.startswith("#") and not line.startswith("# "))
    assert "mcp_read_only: false" in settings.splitlines()
    spelled = {key: value for key, value in yaml.safe_load(settings).items() if value is not None}
    assert Settings(**spelled) == Settings()


def test_the_configuration_that_is_written_changes_nothing(invoke: Invoke, bare: Path) -> None:
    put_image(bare)
    invoke("setup", "--yes")
    os.environ["VMCLUSTER_CONFIG"] = str(bare / "etc" / "config.yaml")
    try:
        assert invoke("topology", "list").code == 0
    finally:
        del os.environ["VMCLUSTER_CONFIG"]


def test_packages_that_only_the_user_can_install_are_named_before_anything_is_done(
    invoke: Invoke, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_packages(monkeypatch, MissingPackages(commands=("dnf install libvirt",), essential=True))
    before = picture(bare / "home")
    ended = invoke("setup", "--yes", "--image", "none")
    assert ended.code == 1
    assert "to be run by you, as root: dnf install libvirt\n" in ended.out
    assert "run this as root, then `vmcluster setup` again: dnf install libvirt" in ended.err
    assert picture(bare / "home") == before
    assert not (bare / "etc").exists()


def test_clients_of_a_user_for_whom_root_sets_up_the_host_start_the_server_with_sudo() -> None:
    account = UserAccount("ada", os.geteuid() + 1000, 1000, Path("/home/ada"))
    command = server_command(account)
    rule = sudo_rule(account)
    if os.geteuid() == 0:
        assert command[:2] == ["sudo", "-n"]
        assert rule == f"ada ALL=(root) NOPASSWD: {' '.join(command[2:])}"
    else:
        assert (command[0] != "sudo", rule) == (True, None)


def test_no_client_is_told_to_load_the_server_from_the_directory_that_it_starts_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be a project's, and with the rule for sudo its code would run as root."""
    (tmp_path / "vmcluster-mcp").write_text("#!/bin/sh\n")
    (tmp_path / "vmcluster-mcp").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ":.")
    monkeypatch.setattr("reconciler.programs._SYSTEM_DIRECTORIES", ())
    monkeypatch.setattr(sys, "executable", "/nonexistent/python3")
    assert server_command_here()[-4:] == ["/nonexistent/python3", "-P", "-m", "reconciler"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_under_sudo_the_files_are_those_of_the_user_who_called_it_and_belong_to_them(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="vmcluster-home-") as name:
        home = Path(name)
        (home / ".cursor").mkdir()
        (home / ".claude.json").write_text(CLAUDE)
        for path in (home, *home.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        account = UserAccount("nobody", nobody.pw_uid, nobody.pw_gid, home)
        monkeypatch.setattr("reconciler.client_setup.accounts.calling_account", lambda _: account)
        before = picture(home)
        ended = invoke(*CLIENTS)
        assert ended.code == 0, ended.err
        assert f"  nobody ALL=(root) NOPASSWD: {' '.join(server_command(account)[2:])}\n" in ended.out
        assert {path.stat().st_uid for path in home.rglob("*")} == {nobody.pw_uid}
        assert json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["vmcluster"]["command"] == "sudo"
        assert invoke("setup", "--undo", "--yes").code == 0
        assert picture(home) == before


def test_an_image_that_nobody_publishes_is_refused_before_anything_is_done(invoke: Invoke, bare: Path) -> None:
    ended = invoke("setup", "--yes", "--image", "debain-12")
    assert ended.code == 1
    assert "error [IMAGE_NOT_FOUND]: no image is named 'debain-12'" in ended.err
    assert not (bare / "etc").exists()


def server_command_here() -> list[str]:
    return server_command(calling_account(os.environ))
