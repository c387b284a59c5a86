import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reconciler.errors import Conflict, HostCapabilityMissing, OperationFailed
from reconciler.files.marked_files import create_file, delete_file, ensure_directory, replace_file, second_name
from reconciler.files.ownership import OwnedKind, OwnerMark, read_mark, write_mark

OLD = OwnerMark(cluster="demo", kind=OwnedKind.SEED, facts={"digest": "old"})
NEW = OwnerMark(cluster="demo", kind=OwnedKind.SEED, facts={"digest": "new"})


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_created_file_has_content_mark_and_mode_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        create_file(tmp_path / "seed", b"content", NEW, mode=0o644)
    finally:
        os.umask(previous)
    assert (tmp_path / "seed").read_bytes() == b"content"
    assert read_mark(tmp_path / "seed") == NEW
    assert mode_of(tmp_path / "seed") == 0o644


def test_creating_never_overwrites_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "seed").write_bytes(b"the user's")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "seed", b"content", NEW, mode=0o600)
    assert (tmp_path / "seed").read_bytes() == b"the user's"
    assert names_in(tmp_path) == ["seed"]


def test_a_write_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OperationFailed, match=r"No space left .*free some space"):
        create_file(tmp_path / "seed", fail, NEW, mode=0o600)
    assert names_in(tmp_path) == []


def test_a_missing_directory_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match=r"absent/seed.*create its directory first"):
        create_file(tmp_path / "absent" / "seed", b"", NEW, mode=0o600)


def test_our_older_file_is_replaced_whole(tmp_path: Path) -> None:
    replace_file(tmp_path / "seed", b"a longer old content", OLD, mode=0o600)
    with (tmp_path / "seed").open("rb") as opened_before:
        replace_file(tmp_path / "seed", b"new", NEW, mode=0o640)
        assert opened_before.read() == b"a longer old content"
    assert (tmp_path / "seed").read_bytes() == b"new"
    assert read_mark(tmp_path / "seed") == NEW
    assert mode_of(tmp_path / "seed") == 0o640
    assert names_in(tmp_path) == ["seed"]


def test_a_file_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "seed").write_bytes(b"the user's")
    with pytest.raises(Conflict, match="was left alone"):
        replace_file(tmp_path / "seed", b"new", NEW, mode=0o600)
    assert (tmp_path / "seed").read_bytes() == b"the user's"
    assert names_in(tmp_path) == ["seed"]


def leave_a_killed_replacement(path: Path) -> None:
    second_name(path).write_bytes(b"half")
    write_mark(second_name(path), OLD)


def test_what_a_killed_replacement_left_is_taken_away_by_the_next_one(tmp_path: Path) -> None:
    create_file(tmp_path / "seed", b"old", OLD, mode=0o600)
    leave_a_killed_replacement(tmp_path / "seed")
    replace_file(tmp_path / "seed", b"new", NEW, mode=0o600)
    assert (tmp_path / "seed").read_bytes() == b"new"
    assert names_in(tmp_path) == ["seed"]


def test_deleting_takes_away_what_a_killed_replacement_left(tmp_path: Path) -> None:
    create_file(tmp_path / "seed", b"old", OLD, mode=0o600)
    leave_a_killed_replacement(tmp_path / "seed")
    assert delete_file(tmp_path / "seed", "demo")
    assert not delete_file(tmp_path / "seed", "demo")
    assert names_in(tmp_path) == []


def test_a_process_killed_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from reconciler.files.marked_files import create_file
        from reconciler.files.ownership import OwnedKind, OwnerMark

        def killed(file):
            os.write(file, b"half")
            os.kill(os.getpid(), signal.SIGKILL)

        create_file(Path(sys.argv[1]), killed, OwnerMark(cluster="demo", kind=OwnedKind.SEED), mode=0o600)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "seed")], check=False)
    assert ended.returncode == -9
    assert names_in(tmp_path) == []


def test_a_file_system_without_unnamed_files_is_a_missing_capability() -> None:
    with pytest.raises(HostCapabilityMissing, match=r"/proc does not support unnamed files.*ext4"):
        create_file(Path("/proc/seed"), b"", NEW, mode=0o600)


def test_a_directory_gets_its_mode_when_made_and_keeps_it_when_there(tmp_path: Path) -> None:
    made = tmp_path / "overlays" / "demo"
    ensure_directory(made, mode=0o711)
    assert mode_of(made) == 0o711
    made.chmod(0o700)
    ensure_directory(made, mode=0o711)
    assert mode_of(made) == 0o700


def test_a_file_in_place_of_a_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "demo").write_bytes(b"")
    with pytest.raises(Conflict, match="is not a directory"):
        ensure_directory(tmp_path / "demo", mode=0o711)
