"""Whose files are changed, and with whose rights."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.client_setup.accounts import UserAccount, acting_as, calling_account
from reconciler.client_setup.changed_files import ChangeJournal, FileChange
from reconciler.errors import OperationFailed

NOBODY = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def account() -> Iterator[UserAccount]:
    """An ordinary user with a home that others may look into."""
    home = Path(tempfile.mkdtemp(prefix="vmcluster-home-"))
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    home.chmod(0o755)
    yield UserAccount(NOBODY.pw_name, NOBODY.pw_uid, NOBODY.pw_gid, home)
    shutil.rmtree(home)


def test_the_caller_is_the_user_of_the_process_in_their_home(tmp_path: Path) -> None:
    account = calling_account({"HOME": str(tmp_path)})
    assert (account.uid, account.home) == (os.geteuid(), tmp_path)


@needs_root
def test_under_sudo_the_caller_is_the_user_who_called_it() -> None:
    account = calling_account({"SUDO_UID": str(NOBODY.pw_uid), "HOME": "/root"})
    assert (account.name, account.uid, account.home) == ("nobody", NOBODY.pw_uid, Path(NOBODY.pw_dir))


@pytest.mark.parametrize("said", ["", "0", "-1", "root"])
def test_what_names_no_other_user_is_ignored(said: str, tmp_path: Path) -> None:
    assert calling_account({"SUDO_UID": said, "HOME": str(tmp_path)}).uid == os.geteuid()


@needs_root
def test_files_of_a_user_are_written_as_that_user_and_come_back(account: UserAccount) -> None:
    path, journal = account.home / ".cursor" / "mcp.json", ChangeJournal(account.home / "journal")
    with acting_as(account):
        journal.apply(FileChange(path, None, b"{}"))
    assert os.geteuid() == 0
    for made in (path, path.parent, journal.directory):
        assert (made.stat().st_uid, made.stat().st_gid) == (account.uid, account.gid)
    with acting_as(account):
        journal.undo(*journal.entries())
    assert list(account.home.iterdir()) == []


@needs_root
def test_a_link_in_a_home_does_not_lead_root_to_a_file_of_its_own(account: UserAccount, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (account.home / "file").symlink_to(secret)
    change = FileChange(account.home / "file", None, b"{}")
    with acting_as(account), pytest.raises(OperationFailed, match="Permission denied"):
        ChangeJournal(account.home / "journal").apply(change)
    assert secret.read_bytes() == b"secret"


@needs_root
def test_the_rights_are_back_after_a_failure(account: UserAccount) -> None:
    groups = os.getgroups()
    with pytest.raises(KeyError), acting_as(account):
        raise KeyError
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, os.getgid(), groups)


@needs_root
def test_the_changes_of_root_are_not_another_users_to_undo(account: UserAccount, tmp_path: Path) -> None:
    journal = ChangeJournal(tmp_path / "state" / "setup")
    journal.apply(FileChange(tmp_path / "file", None, b"{}"))
    with acting_as(account):
        assert not journal.is_readable
        assert ChangeJournal(account.home / "journal").is_readable
    assert journal.is_readable
