"""What is sent to nodes as shell, and what comes back."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.artifacts import node_scripts
from reconciler.artifacts.installed import InstalledRecord, parse_installed_id, parse_record, render_record
from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.model.choices import InstallMode

ID = "ab" * 32
SCRIPTS = [
    value
    for name, value in vars(node_scripts).items()
    if name.isupper() and isinstance(value, str) and not name.startswith("_") and not value.startswith("/")
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_shell(script: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=3))
def test_arguments_reach_a_script_as_they_are(arguments: list[str]) -> None:
    words = shlex.split(node_scripts.render_call("script", arguments, user="root"))
    assert words == ["sh", "-c", "script", "vmcluster", *arguments]


def test_a_user_becomes_root() -> None:
    assert node_scripts.render_call("true", [], user="debian").startswith("sudo -n sh -c ")


@pytest.mark.parametrize("base", ["", "/", "relative", "/a/../b", "/a\nb", "/a\x1b", "/./"])
def test_a_base_that_is_unfit_is_refused(base: str) -> None:
    if base != "/./":
        with pytest.raises(InvalidArgument, match="dest_base"):
            node_scripts.require_base(base)


def test_a_base_is_written_in_one_way() -> None:
    assert node_scripts.require_base("/opt//x y/") == "/opt/x y"


def test_lists_are_told_apart_from_the_text_behind_them() -> None:
    said = node_scripts.parse_installed("/a\nb.ko\0/c.ko\0\0pkg\0\0depmod: WARNING\n")
    assert said == node_scripts.Installed(("/a\nb.ko", "/c.ko"), ("pkg",), "depmod: WARNING")
    assert node_scripts.parse_installed("\0\0") == node_scripts.Installed((), (), "")


@given(st.text())
def test_nothing_that_a_node_prints_does_harm(words: str) -> None:
    node_scripts.parse_installed(words)
    node_scripts.valid_ids(words.splitlines())
    assert parse_installed_id(words) is None
    if words:
        with pytest.raises(OperationFailed):
            parse_record(words, node="n0")


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = InstalledRecord(ID, f"/opt/{ID}", InstallMode.DEB, "6.1.0", ("a", "b"))
    text = render_record(record).decode()
    assert parse_record(text, node="n0") == record
    assert parse_installed_id(text.splitlines()[0]) == ID
    assert parse_record("", node="n0") is None


def test_what_is_only_begun_counts_as_nothing_and_is_known_all_the_same() -> None:
    begun = InstalledRecord(ID, f"/opt/{ID}", InstallMode.MODPROBE_PATH, "6.1.0", (), complete=False)
    text = render_record(begun).decode()
    assert parse_record(text, node="n0") == begun
    assert parse_installed_id(text.splitlines()[0]) is None
