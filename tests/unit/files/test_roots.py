"""Paths that callers name: what is opened is judged where it really is, whatever becomes of its name."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.errors import InvalidArgument
from reconciler.files.roots import Roots, open_beneath, opened, place_at, why_out_of_reach

SOMEBODY = 1000
OF_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """An open directory `in` and a closed one `out`, with links between them."""
    for name in ("in", "out"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
        (tmp_path / name / "sub" / "file").write_text(name)
    (tmp_path / "in" / "leads-out").symlink_to("../out/file")
    (tmp_path / "in" / "dir-out").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "dangling").symlink_to("../out/nothing")
    (tmp_path / "out" / "leads-in").symlink_to(tmp_path / "in" / "file")
    (tmp_path / "alias").symlink_to("in")
    return tmp_path


def read_roots(host: Path, *names: str) -> Roots:
    return Roots("host_read_roots", tuple(host / name for name in names or ("in",)))


@pytest.mark.parametrize(
    "name", ["in/file", "in/sub/../file", "out/leads-in", "in", "in/dir-out/leads-in", "alias/file"]
)
def test_what_is_below_a_root_is_opened_by_whatever_way(host: Path, name: str) -> None:
    found = opened(host / name, read_roots(host))
    assert found.real.is_relative_to(host / "in")
    assert found.path == host / name
    if found.real.is_file():
        assert found.handle.read_text() == "in"


@pytest.mark.parametrize(
    "name",
    [
        *("out/file", "in/leads-out", "in/dir-out/sub/file", "in/../out/file", "in/dangling", "out/nothing", "out", ""),
        *("in-or-so", "in/dir-out/nothing/at/all", "../..", "in/file/../../out/file"),
    ],
)
def test_what_is_outside_is_refused_alike_whether_it_is_there_or_not(host: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        opened(host / name, read_roots(host))
    assert refusal.value.message == (
        f"{host / name} is not below a directory that `host_read_roots` allows: {host / 'in'}"
    )
    assert "added to `host_read_roots`" in str(refusal.value.hint)


def test_the_kernels_own_links_are_judged_by_where_they_lead(host: Path) -> None:
    closed, unlinked = (host / "out" / "file").open("rb"), (host / "in" / "gone").open("w+b")
    (host / "in" / "gone").unlink()
    read_end, write_end = os.pipe()
    with closed, unlinked:
        for descriptor in (closed.fileno(), unlinked.fileno(), read_end):
            with pytest.raises(InvalidArgument, match="is not below"):
                opened(Path(f"/proc/self/fd/{descriptor}"), read_roots(host))
        with pytest.raises(InvalidArgument, match="is not below"):
            opened(Path(f"/proc/self/root{host}/out/file"), read_roots(host))
        assert opened(Path(f"/proc/self/root{host}/in/file"), read_roots(host)).real == host / "in" / "file"
    os.close(read_end)
    os.close(write_end)


def test_several_settings_open_what_one_of_them_does_and_all_are_named(host: Path) -> None:
    disks = Roots("disk_roots", (host / "out" / "sub",))
    assert why_out_of_reach(host / "out" / "sub" / "file", read_roots(host), disks) is None
    assert why_out_of_reach(host / "out" / "sub" / "not-yet", read_roots(host), disks) is None
    trouble = why_out_of_reach(host / "out" / "file", read_roots(host), disks)
    assert trouble
    assert f"that `host_read_roots` or `disk_roots` allows: {host / 'in'}, {host / 'out' / 'sub'}" in trouble
    assert "there is none" in str(why_out_of_reach(host / "in" / "file", Roots("disk_roots", ())))
    assert why_out_of_reach(host / "out" / "file", Roots("disk_roots")) is None


def test_what_is_not_there_below_a_root_is_told_so(host: Path) -> None:
    for name in ("in/nothing", "in/file/below"):
        with pytest.raises(OSError, match=name.rpartition("/")[2]):
            opened(host / name, read_roots(host))
    with pytest.raises(InvalidArgument, match="is not a path"):
        opened(host / "in" / "a\0b", read_roots(host))


def test_what_is_below_a_root_that_is_still_missing_is_not_called_outside(host: Path) -> None:
    roots = read_roots(host, "new/images")
    with pytest.raises(FileNotFoundError):
        opened(host / "new/images/base", roots)
    assert why_out_of_reach(host / "new/images/base", roots) is None
    assert place_at(host / "new/images/base", roots).real == host / "new/images/base"
    assert why_out_of_reach(host / "new/other", roots)
    assert why_out_of_reach(host / "out/file", read_roots(host, "new/../out")), "a way through nothing leads nowhere"


@OF_ROOT
def test_a_root_behind_a_link_that_somebody_else_made_opens_nothing(host: Path) -> None:
    os.lchown(host / "alias", SOMEBODY, SOMEBODY)
    with pytest.raises(InvalidArgument, match="is not below"):
        opened(host / "in" / "file", read_roots(host, "alias"))
    with pytest.raises(InvalidArgument, match="is not below"):
        opened(host / "alias" / "file", read_roots(host, "alias"))


def test_links_that_lead_in_a_circle_are_no_root(host: Path) -> None:
    (host / "round").symlink_to("round")
    with pytest.raises(InvalidArgument, match="is not below"):
        opened(host / "in" / "file", read_roots(host, "round"))


def test_a_place_is_judged_by_the_nearest_directory_that_is_there(host: Path) -> None:
    place = place_at(host / "in" / "new" / "er" / "file", read_roots(host))
    assert (place.missing, place.real, place.status()) == (("new", "er"), host / "in" / "new" / "er" / "file", None)
    assert place.directory().names() == []
    assert (host / "in" / "new" / "er").is_dir()
    for name in ("in/dir-out/x", "out/new/x", "x", "in/dir-out/new/x", "in/dangling/x", "in/../x"):
        with pytest.raises((InvalidArgument, OSError), match=r"not below|File exists|Not a directory"):
            place_at(host / name, read_roots(host)).directory()
    assert sorted(path.name for path in (host / "out").iterdir()) == ["file", "leads-in", "sub"]


def test_a_link_that_is_planted_where_a_directory_is_missing_is_not_followed(host: Path) -> None:
    place = place_at(host / "in" / "new" / "file", read_roots(host))
    (host / "in" / "new").symlink_to(host / "out")
    with pytest.raises(OSError, match="new"):
        place.directory()


def test_a_place_stays_the_directory_that_was_opened(host: Path) -> None:
    place = place_at(host / "in" / "sub" / "new", read_roots(host))
    (host / "in" / "sub").rename(host / "in" / "moved")
    (host / "in" / "sub").symlink_to(host / "out")
    assert place.directory().names() == ["file"]
    status = os.fstat(place.directory().fileno())
    assert os.path.samestat(status, (host / "in" / "moved").stat())


def test_nothing_is_opened_by_a_link_below_an_opened_directory(host: Path) -> None:
    root = opened(host / "in")
    os.close(open_beneath(root.held.fileno(), b"sub/file", os.O_RDONLY))
    os.close(open_beneath(root.held.fileno(), b"", os.O_RDONLY | os.O_DIRECTORY))
    for path in (b"leads-out", b"dir-out/file", b"dir-out"):
        with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
            open_beneath(root.held.fileno(), path, os.O_RDONLY)


@contextmanager
def swapping(link: Path, *targets: Path) -> Iterator[None]:
    """A thread that points a link to one target after another."""
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for target in targets:
                link.with_name("next").symlink_to(target)
                link.with_name("next").rename(link)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_link_that_changes_all_the_time_leads_in_or_is_refused(host: Path) -> None:
    link, seen = host / "in" / "flips", set()
    link.symlink_to("file")
    with swapping(link, host / "in" / "file", host / "out" / "file"):
        for _ in range(1000):
            try:
                found = opened(link, read_roots(host))
                seen.add(found.handle.read_text())
            except InvalidArgument:
                seen.add("refused")
    assert seen == {"in", "refused"}


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_are_closed_with_what_holds_them(host: Path) -> None:
    before = open_descriptors()
    for _ in range(50):
        opened(host / "in" / "file", read_roots(host))
        place_at(host / "in" / "a" / "b" / "c", read_roots(host))
    assert open_descriptors() <= before


@pytest.mark.parametrize(
    "path", ["/proc/1/cwd/x", "/etc/passwd/x/y", "/etc/passwd/../x", "/no-such-place/../x", "/no-such-place/x/y"]
)
def test_no_refusal_says_what_is_outside(tmp_path: Path, path: str) -> None:
    within = Roots("host_write_roots", (tmp_path,))
    for look in (opened, place_at):
        with pytest.raises(InvalidArgument, match=r"is not below a directory that `host_write_roots` allows"):
            look(Path(path), within)


def test_a_link_that_cannot_be_read_is_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.path.realpath", refuse)
    with pytest.raises(InvalidArgument, match="is not below a directory"):
        opened(tmp_path / "gone", Roots("host_read_roots", (tmp_path,)))
