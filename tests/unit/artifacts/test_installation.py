"""What of a tree is installed, and what is refused before any node is touched."""

import pytest

from reconciler.artifacts.installation import (
    Examined,
    payload_of,
    require_fit,
    require_same_mode,
    require_tool,
)
from reconciler.artifacts.installed import InstalledRecord
from reconciler.artifacts.tree_entries import EntryKind, Role, TreeEntry
from reconciler.errors import Conflict, InvalidArgument
from reconciler.model.choices import InstallMode

from .samples import VERMAGIC

RELEASE = VERMAGIC.split()[0]


def a_module(path: bytes, content: bytes = b"1", vermagic: str = VERMAGIC) -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, 0o644, content, role=Role.MODULE, vermagic=vermagic)


def a_file(path: bytes) -> TreeEntry:
    return TreeEntry(path, EntryKind.FILE, 0o644, b"1")


def a_node(vermagic: str = VERMAGIC, release: str = RELEASE, installed: InstalledRecord | None = None) -> Examined:
    return Examined(synced=True, release=release, vermagic=vermagic.strip(), installed=installed)


def test_modules_are_installed_once_each_and_packages_by_their_ending() -> None:
    entries = [a_module(b"z/a.ko"), a_module(b"b/a.ko"), a_module(b"b-c.ko.xz"), a_file(b"x.deb"), a_file(b"y.rpm")]
    assert [each.path for each in payload_of(entries, InstallMode.MODPROBE_PATH)] == [b"b-c.ko.xz", b"b/a.ko"]
    assert [each.path for each in payload_of(entries, InstallMode.DEB)] == [b"x.deb"]
    assert [each.path for each in payload_of(entries, InstallMode.RPM)] == [b"y.rpm"]
    assert payload_of(entries, InstallMode.MAKE_INSTALL) == []


@pytest.mark.parametrize("mode", [InstallMode.MODPROBE_PATH, InstallMode.DEB, InstallMode.RPM])
def test_a_tree_without_what_is_asked_for_is_refused(mode: InstallMode) -> None:
    with pytest.raises(InvalidArgument, match="there is no "):
        payload_of([a_file(b"README")], mode)


def test_two_different_modules_of_one_name_are_refused_by_their_paths() -> None:
    with pytest.raises(InvalidArgument, match=r"a/x-y\.ko and b/x_y\.ko are different modules with the same name"):
        payload_of([a_module(b"a/x-y.ko"), a_module(b"b/x_y.ko", b"2")], InstallMode.MODPROBE_PATH)


@pytest.mark.parametrize(
    "foreign",
    [VERMAGIC.replace("6.1.0-56", "6.1.0-55"), VERMAGIC.replace("preempt ", ""), ""],
    ids=["release", "configuration", "none"],
)
def test_a_module_for_another_kernel_is_refused_with_both_versions(foreign: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        require_fit([a_module(b"fits.ko"), a_module(b"not.ko", vermagic=foreign)], a_node(), "n1")
    assert caught.value.node == "n1"
    assert "not.ko" in caught.value.message
    assert repr(foreign or "unknown") in caught.value.message
    assert repr(VERMAGIC.strip()) in caught.value.message


def test_where_the_kernel_has_no_modules_of_its_own_the_release_decides() -> None:
    require_fit([a_module(b"a.ko")], a_node(vermagic=""), "n1")
    with pytest.raises(InvalidArgument, match=r"runs '6\.2'"):
        require_fit([a_module(b"a.ko")], a_node(vermagic="", release="6.2"), "n1")


def test_what_is_installed_in_another_way_is_to_be_taken_out_first() -> None:
    record = InstalledRecord("ab" * 32, "/opt/x", InstallMode.DEB, RELEASE, ("x",))
    require_same_mode(InstallMode.DEB, a_node(installed=record), "n1")
    require_same_mode(InstallMode.DEB, a_node(), "n1")
    with pytest.raises(Conflict, match=f"node n1 artifact {record.artifact_id} is installed with mode deb") as caught:
        require_same_mode(InstallMode.MODPROBE_PATH, a_node(installed=record), "n1")
    assert "uninstall" in (caught.value.hint or "")


@pytest.mark.parametrize(("mode", "tool"), [("make_install", "make"), ("deb", "dpkg"), ("modprobe_path", "depmod")])
def test_a_node_without_what_installs_is_refused_by_the_name_of_the_tool(mode: str, tool: str) -> None:
    lacking = Examined(True, RELEASE, "", None, frozenset({tool}))
    require_tool(InstallMode.RPM, lacking, "n1")
    with pytest.raises(InvalidArgument, match=f"node n1 has no `{tool}`.* nothing was installed on any node"):
        require_tool(InstallMode(mode), lacking, "n1")
