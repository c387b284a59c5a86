"""Changes to users' files come back byte for byte, with modes, times, attributes and links."""

import os
import stat
from pathlib import Path

import pytest

from reconciler.client_setup.changed_files import ChangedFile, ChangeJournal, FileChange, current_content
from reconciler.errors import Conflict, OperationFailed

BEFORE, AFTER = b"before\xff\r\nbytes", b"after\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def journal(home: Path) -> ChangeJournal:
    return ChangeJournal(home / ".local" / "state" / "vmcluster" / "setup")


def change(path: Path, after: bytes = AFTER) -> FileChange:
    return FileChange(path, current_content(path), after)


def undo_all(journal: ChangeJournal) -> None:
    for entry in reversed(journal.entries()):
        journal.undo(entry)


def picture(home: Path) -> dict[str, tuple[object, ...]]:
    """All that is in a home, apart from our directory: kind, mode, owner, time, attributes, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(home.rglob("*")):
        if path.is_relative_to(home / ".local"):
            continue
        status = path.lstat()
        link = path.is_symlink()
        what = os.readlink(path) if link else path.read_bytes() if path.is_file() else None  # noqa: PTH115
        attributes = () if link else tuple((name, os.getxattr(path, name)) for name in os.listxattr(path))
        when = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, when, attributes, what)
    return found


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o440, 0o664])
def test_a_file_comes_back_as_it_was(home: Path, journal: ChangeJournal, mode: int) -> None:
    path = home / "file"
    path.write_bytes(BEFORE)
    os.setxattr(path, "user.note", b"mine")
    path.chmod(mode)
    os.utime(path, ns=(1_000_000_007, 1_000_000_009))
    before = picture(home)
    journal.apply(change(path))
    assert path.read_bytes() == AFTER
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.getxattr(path, "user.note") == b"mine"
    undo_all(journal)
    assert picture(home) == before
    assert not journal.directory.exists()


def test_a_new_file_goes_with_the_directories_that_were_made_for_it(home: Path, journal: ChangeJournal) -> None:
    before = picture(home)
    journal.apply(change(home / "a" / "b" / "file"))
    assert stat.S_IMODE((home / "a" / "b" / "file").stat().st_mode) == 0o600
    undo_all(journal)
    assert picture(home) == before


def test_a_directory_that_somebody_has_used_since_stays(home: Path, journal: ChangeJournal) -> None:
    journal.apply(change(home / "a" / "b" / "file"))
    (home / "a" / "mine").touch()
    undo_all(journal)
    assert sorted(path.name for path in (home / "a").iterdir()) == ["mine"]


def test_a_link_stays_and_what_it_leads_to_comes_back(home: Path, journal: ChangeJournal) -> None:
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "real").write_bytes(BEFORE)
    (home / "file").symlink_to("dotfiles/real")
    before = picture(home)
    journal.apply(change(home / "file"))
    assert (home / "file").is_symlink()
    assert (home / "dotfiles" / "real").read_bytes() == AFTER
    undo_all(journal)
    assert picture(home) == before


def test_a_link_to_nothing_leads_to_nothing_again(home: Path, journal: ChangeJournal) -> None:
    (home / "file").symlink_to("dotfiles/real")
    before = picture(home)
    journal.apply(change(home / "file"))
    assert (home / "dotfiles" / "real").read_bytes() == AFTER
    undo_all(journal)
    assert picture(home) == before


def test_a_file_with_two_names_keeps_both(home: Path, journal: ChangeJournal) -> None:
    (home / "file").write_bytes(BEFORE)
    (home / "other").hardlink_to(home / "file")
    before = picture(home)
    journal.apply(change(home / "file"))
    assert (home / "other").read_bytes() == AFTER
    undo_all(journal)
    assert picture(home) == before
    assert (home / "other").samefile(home / "file")


def test_what_was_changed_since_is_shown_and_left(home: Path, journal: ChangeJournal) -> None:
    (home / "file").write_bytes(b"a\nb\n")
    (home / "other").write_bytes(BEFORE)
    journal.apply(change(home / "file", b"ours\na\nb\n"))
    journal.apply(change(home / "other"))
    (home / "file").write_bytes(b"ours\na\nb\ntheirs\n")
    *_, other = entries = journal.entries()
    with pytest.raises(Conflict, match="was changed since") as caught:
        journal.undo(entries[0])
    assert "-ours\n a\n b\n-theirs\n" in caught.value.message
    kept = Path(str(caught.value.hint).rpartition(" ")[2])
    assert kept.read_bytes() == b"a\nb\n", "the hint names the whole path"
    assert (home / "file").read_bytes() == b"ours\na\nb\ntheirs\n"
    journal.undo(other)
    assert (home / "other").read_bytes() == BEFORE
    assert journal.entries() == entries[:1]
    (home / "file").write_bytes(b"ours\na\nb\n")
    undo_all(journal)
    assert (home / "file").read_bytes() == b"a\nb\n"


def test_a_new_file_that_was_changed_since_may_be_removed_by_hand(home: Path, journal: ChangeJournal) -> None:
    journal.apply(change(home / "file"))
    (home / "file").write_bytes(b"theirs")
    with pytest.raises(Conflict, match="was changed since") as caught:
        undo_all(journal)
    assert caught.value.hint == "remove it yourself if you do not need it"


def test_a_link_that_became_a_file_is_not_replaced(home: Path, journal: ChangeJournal) -> None:
    (home / "real").write_bytes(BEFORE)
    (home / "file").symlink_to("real")
    journal.apply(change(home / "file"))
    (home / "file").unlink()
    (home / "file").write_bytes(AFTER)
    with pytest.raises(Conflict, match="was a link to real, and is a file now"):
        undo_all(journal)
    assert (home / "file").read_bytes() == AFTER


def test_what_somebody_has_undone_already_needs_nothing(home: Path, journal: ChangeJournal) -> None:
    (home / "file").write_bytes(BEFORE)
    journal.apply(change(home / "file"))
    journal.apply(change(home / "new"))
    (home / "file").write_bytes(BEFORE)
    (home / "new").unlink()
    undo_all(journal)
    assert (home / "file").read_bytes() == BEFORE
    assert journal.entries() == ()


def test_two_changes_of_one_file_are_undone_one_after_the_other(home: Path, journal: ChangeJournal) -> None:
    path = home / "file"
    path.write_bytes(BEFORE)
    journal.apply(change(path))
    journal.apply(change(path, b"again\n"))
    undo_all(journal)
    assert path.read_bytes() == BEFORE


def test_a_file_that_changed_after_it_was_shown_is_not_written(home: Path, journal: ChangeJournal) -> None:
    path = home / "file"
    path.write_bytes(BEFORE)
    shown = change(path)
    path.write_bytes(b"theirs")
    with pytest.raises(Conflict, match="has just been changed by another program"):
        journal.apply(shown)
    assert path.read_bytes() == b"theirs"
    assert journal.entries() == ()


def test_a_change_that_was_interrupted_before_the_file_was_written_is_undone(
    home: Path, journal: ChangeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "file"
    path.write_bytes(BEFORE)
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        if target == path:
            raise KeyboardInterrupt
        real(source, target)

    shown = change(path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            journal.apply(shown)
    assert path.read_bytes() == BEFORE
    (entry,) = journal.entries()
    assert isinstance(entry, ChangedFile)
    undo_all(journal)
    assert sorted(found.name for found in home.iterdir() if found.name != ".local") == ["file"]


def test_a_lost_copy_is_an_error_and_the_file_is_left(home: Path, journal: ChangeJournal) -> None:
    path = home / "file"
    path.write_bytes(BEFORE)
    journal.apply(change(path))
    next(journal.directory.glob("*-file")).unlink()
    with pytest.raises(OperationFailed, match=r"the copy of .* is gone"):
        undo_all(journal)
    assert path.read_bytes() == AFTER


def test_copies_and_journal_are_their_owners_alone(home: Path, journal: ChangeJournal) -> None:
    (home / "file").write_bytes(BEFORE)
    (home / "file").chmod(0o644)
    journal.apply(change(home / "file"))
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.directory.iterdir()} == {0o600}


def test_a_damaged_journal_is_named(home: Path, journal: ChangeJournal) -> None:
    journal.apply(change(home / "file"))
    (journal.directory / "changes.json").write_text("[1]")
    with pytest.raises(OperationFailed, match=r"changes\.json is damaged"):
        journal.entries()
