"""Directories that others could exchange: what is refused, with the command that ends it, and what is not."""

import asyncio
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired.topology_files import find_named, find_topology
from reconciler.errors import Conflict, StoreUnavailable
from reconciler.files.atomic import write_whole
from reconciler.files.exposure import exposure_of, make_unexposed, require_unexposed
from reconciler.files.locks import locked
from reconciler.files.marked_files import access_control_list, ensure_directory
from reconciler.host.checks.required_directories import RequiredDirectory, check_places
from reconciler.host.disks.before_use import MachineFiles, require_usable
from reconciler.image.image_cache import ImageCache
from reconciler.model.examination import CheckOutcome
from reconciler.settings import Settings
from reconciler.store.state_dir import ensure_state_dir

SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """One of our directories in another one."""
    (tmp_path / "above").mkdir(mode=0o755)
    (tmp_path / "above" / "kept").mkdir(mode=0o755)
    return tmp_path / "above" / "kept"


def sticky(kept: Path) -> None:
    kept.parent.chmod(0o1777)


def relinked(kept: Path, place: Path) -> None:
    """`kept` is a link now, in a directory with the given parent."""
    place.mkdir()
    kept.rename(place / "real")
    kept.symlink_to(place / "real")


def leads_nowhere(kept: Path) -> None:
    kept.rmdir()
    kept.symlink_to("nowhere")


SAFE: dict[str, Callable[[Path], object]] = {
    "as it was made": lambda _: None,
    "below a sticky directory": sticky,
    "a link in a safe place to a safe place": lambda kept: relinked(kept, kept.parent.parent / "other"),
    "not there yet": lambda kept: kept.rmdir(),
    "a link that leads nowhere": leads_nowhere,
}


@pytest.mark.parametrize("change", SAFE.values(), ids=SAFE)
def test_what_only_root_and_the_user_can_change_is_used(kept: Path, change: Callable[[Path], object]) -> None:
    change(kept)
    assert exposure_of(kept) is None


def open_beyond_a_link(kept: Path) -> None:
    relinked(kept, kept.parent.parent / "other")
    (kept.parent.parent / "other").chmod(0o777)


def link_in_an_open_place(kept: Path) -> None:
    """The real place is safe, and who turns the link decides which one it is."""
    relinked(kept, kept.parent.parent / "other")
    kept.parent.chmod(0o777)


def of_a_group(kept: Path) -> None:
    os.chown(kept, -1, 12)
    kept.chmod(0o775)


def anothers_in_a_sticky_place(kept: Path) -> None:
    sticky(kept)
    os.chown(kept, SOMEBODY, -1)


def anothers_link(kept: Path) -> None:
    relinked(kept, kept.parent.parent / "other")
    os.lchown(kept, SOMEBODY, -1)


def lets_another_in(kept: Path) -> None:
    """The mode says that its group, the owner's own, may write to it."""
    os.setxattr(kept, "system.posix_acl_access", access_control_list(0o700, SOMEBODY))


EXPOSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "everybody may write": (lambda kept: kept.chmod(0o777), "above/kept is writable by everybody (mode 0777)"),
    "everybody, though it is sticky": (lambda kept: kept.chmod(0o1777), "above/kept is writable by everybody"),
    "a group may write": (of_a_group, "above/kept is writable by group"),
    "everybody may write above": (lambda kept: kept.parent.chmod(0o777), "above is writable by everybody"),
    "it is another's": (lambda kept: os.chown(kept, SOMEBODY, -1), "above/kept belongs to nobody"),
    "it is another's above": (lambda kept: os.chown(kept.parent, SOMEBODY, -1), "above belongs to nobody"),
    "it is another's in a sticky place": (anothers_in_a_sticky_place, "above/kept belongs to nobody"),
    "the link to it is another's": (anothers_link, "above/kept is a link of user nobody"),
    "an access control list lets another in": (lets_another_in, "above/kept is writable by users of its access"),
    "what a link leads to": (open_beyond_a_link, "other is writable by everybody"),
    "where a link is": (link_in_an_open_place, "above is writable by everybody"),
}


@as_root
@pytest.mark.parametrize(("change", "why"), EXPOSED.values(), ids=EXPOSED)
def test_what_others_can_change_is_refused_and_the_command_ends_that(
    kept: Path, change: Callable[[Path], object], why: str
) -> None:
    change(kept)
    with pytest.raises(Conflict) as refused:
        require_unexposed(kept)
    assert why in str(refused.value)
    for _ in range(3):  # one place after the other
        if (found := exposure_of(kept)) is not None:
            assert f"`{found.command}`" in str(refused.value) or found.place != kept
            subprocess.run(shlex.split(found.command), check=True)
    assert exposure_of(kept) is None


@pytest.mark.parametrize(
    "use",
    [
        ensure_state_dir,
        lambda kept: ensure_directory(kept / "lab", mode=0o711),
        lambda kept: write_whole(kept / "registry.json", b"{}"),
        lambda kept: ImageCache(kept).locked().__enter__(),
        lambda kept: find_named("lab", Settings(topology_dir=kept)),
        lambda kept: find_topology("lab", Settings(topology_dir=kept)),
        lambda kept: require_usable(MachineFiles("lab", "n1", {}, (), [kept / "n1.console.log"]), []),
    ],
)
def test_nothing_that_is_ours_is_kept_in_or_read_from_a_directory_that_others_can_change(
    kept: Path, use: Callable[[Path], object]
) -> None:
    (kept / "lab.yaml").write_text("cluster_name: lab\n")
    kept.parent.chmod(0o777)
    with pytest.raises((Conflict, StoreUnavailable), match=f"chmod go-w {kept.parent}"):
        use(kept)
    assert [path.name for path in kept.iterdir()] == ["lab.yaml"]


def test_no_lock_is_taken_there_either(kept: Path) -> None:
    async def lock() -> None:
        async with locked(kept / "lock"):
            raise AssertionError("it was taken")

    kept.chmod(0o777)
    with pytest.raises(Conflict, match=f"chmod go-w {kept}"):
        asyncio.run(lock())


def test_doctor_names_the_place_and_the_command(kept: Path) -> None:
    kept.parent.chmod(0o777)
    (found,) = check_places([RequiredDirectory(kept, 0o700)])
    assert (found.verdict, found.name) == (CheckOutcome.FAILED, f"directory {kept}")
    assert found.remedy is not None
    assert found.remedy.startswith(f"`chmod go-w {kept.parent}`")


def test_what_is_made_is_never_open_to_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_unexposed(tmp_path / "a" / "b" / "c", mode=0o711)
        make_unexposed(tmp_path / "a" / "b" / "c", mode=0o700)
    finally:
        os.umask(before)
    modes = [(tmp_path / path).stat().st_mode & 0o7777 for path in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o711]
    assert exposure_of(tmp_path / "a" / "b" / "c") is None


def test_links_in_a_circle_are_an_error_and_not_an_endless_walk(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        exposure_of(tmp_path / "a")
