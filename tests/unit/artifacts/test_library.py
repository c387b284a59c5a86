"""Registering real trees: what is taken, what is left out, what is noticed, and what a kill leaves."""

import asyncio
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from reconciler.artifacts.library import Library
from reconciler.artifacts.objects import Objects
from reconciler.artifacts.scan import FoundFile, scan_tree
from reconciler.artifacts.tree_copies import tree_copy
from reconciler.artifacts.tree_entries import EntryKind
from reconciler.errors import ArtifactNotFound, Conflict, InvalidArgument, OperationFailed
from reconciler.files.roots import Held, opened
from reconciler.model.choices import BuildType
from tests.waiting import PATIENCE_S

from .samples import kept, library, module, program, registered

pytestmark = pytest.mark.long

LONG_AGO_NS = 1_600_000_000 * 10**9


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small build tree, written long ago as far as its files say."""
    root = tmp_path / "tree"
    for directory in ("src", "tests", "empty"):
        (root / directory).mkdir(parents=True)
    (root / "src" / "mod.ko").write_bytes(module())
    (root / "src" / "prog").write_bytes(program())
    (root / "src" / "prog").chmod(0o755)
    (root / "src" / "same").write_text("same\n")
    (root / "tests" / "same").write_text("same\n")
    (root / "src" / "link").symlink_to("mod.ko")
    age(root)
    return root


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    return library(tmp_path / "shelf")


def age(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


async def test_nobody_else_can_change_or_run_what_is_stored_whatever_the_umask(shelf: Library, tree: Path) -> None:
    (tree / "src" / "prog").chmod(0o6777)
    before = os.umask(0)
    try:
        await registered(shelf, tree)
    finally:
        os.umask(before)
    found = [path for path in shelf.store_dir.rglob("*") if path.is_dir()]
    assert {path for path in found if path.stat().st_mode & 0o022} == set()
    assert {path for path in found if path.parent.name == "objects" and path.stat().st_mode & 0o077} == set()


async def test_a_tree_is_recognised(shelf: Library, tree: Path) -> None:
    artifact = await registered(shelf, tree)
    assert artifact.modules == ("src/mod.ko",)
    assert artifact.userspace_bins == ("src/prog",)
    assert artifact.test_framework_path == "tests"
    assert artifact.kernel_version == "6.1.0-56-cloud-amd64"
    assert artifact.files == 4
    assert artifact.excluded == ()
    assert shelf.registry.find(artifact.artifact_id[:8]) == artifact


async def test_a_built_kernel_says_its_own_version(shelf: Library, tree: Path) -> None:
    (tree / "include" / "generated").mkdir(parents=True)
    (tree / "include" / "generated" / "utsrelease.h").write_text('#define UTS_RELEASE "6.9.0-rc1+"\n')
    assert (await registered(shelf, tree)).kernel_version == "6.9.0-rc1+"


async def test_each_content_is_kept_once_and_apart_from_the_source(shelf: Library, tree: Path) -> None:
    artifact = await registered(shelf, tree)
    assert kept(shelf).objects == 3
    assert (tree / "src" / "mod.ko").stat().st_nlink == 1
    content = next(entry.content for entry in shelf.entries(artifact.artifact_id) if entry.path == b"src/same")
    with (tree / "src" / "same").open("r+") as file:
        file.write("SAME")  # in place, as a rebuild may do
    assert shelf.objects.path(content.decode()).read_text() == "same\n"


async def test_the_same_tree_elsewhere_has_the_same_id(shelf: Library, tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "other", symlinks=True)
    assert (await registered(shelf, tree)).artifact_id == (await registered(shelf, tmp_path / "other")).artifact_id
    assert len(shelf.registry.all()) == 1


@pytest.mark.parametrize("change", ["byte", "mode", "name", "link", "directory", "kind"])
async def test_one_change_anywhere_changes_the_id(shelf: Library, tree: Path, change: str) -> None:
    before = await registered(shelf, tree)
    same = tree / "src" / "same"
    match change:
        case "byte":
            same.write_text("sane\n")
            os.utime(same, ns=(LONG_AGO_NS, LONG_AGO_NS))
        case "mode":
            same.chmod(0o600)
        case "name":
            same.rename(tree / "src" / "samf")
        case "link":
            (tree / "src" / "link").unlink()
            (tree / "src" / "link").symlink_to("prog")
        case "directory":
            (tree / "empty").rmdir()
        case "kind":
            same.unlink()
            same.symlink_to("prog")
    assert (await registered(shelf, tree)).artifact_id != before.artifact_id


async def test_an_unchanged_tree_is_not_read_again(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)  # the change time of the files is long enough ago to be trusted
    before = await registered(shelf, tree)

    def refuse(_self: Objects, _directory: Held, found: FoundFile, **_: object) -> None:
        raise AssertionError(f"{found.path!r} was read")

    monkeypatch.setattr(Objects, "take_in", refuse)
    assert (await registered(shelf, tree)).artifact_id == before.artifact_id


async def test_one_look_tells_all_of_an_unchanged_tree_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tree / "pipe")
    shelf = library(tmp_path / "shelf", later_s=3)
    before = await registered(shelf, tree)

    def refuse(_path: Path) -> None:
        raise AssertionError("what is known of each file was asked for")

    monkeypatch.setattr("reconciler.artifacts.library.load_readings", refuse)
    again = await registered(shelf, tree)
    assert again == before.model_copy(update={"registered_at": again.registered_at})


async def test_a_kernel_version_that_was_given_once_is_not_taken_for_what_the_tree_says(
    tree: Path, tmp_path: Path
) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)
    given = await shelf.register(opened(tree), BuildType.RAW_TREE, kernel_version="6.6.6", metadata={}, report=print)
    assert given.kernel_version == "6.6.6"
    assert (await registered(shelf, tree)).kernel_version == "6.1.0-56-cloud-amd64"


async def test_a_change_that_leaves_size_and_times_alike_is_noticed_where_it_was_recent(
    shelf: Library, tree: Path
) -> None:
    path = tree / "src" / "same"
    path.write_text("one\n")
    before = await registered(shelf, tree)
    cache = next((shelf.store_dir / "readings").glob("*.json")).read_text()
    assert not list(shelf.store_dir.glob("summaries/*"))
    assert "src/same" not in cache, "a file that was written just now may change within the same tick of the clock"
    path.write_text("two\n")
    assert (await registered(shelf, tree)).artifact_id != before.artifact_id


@pytest.mark.parametrize("what", ["readings", "summaries"])
async def test_a_damaged_cache_only_costs_time(tree: Path, tmp_path: Path, what: str) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)
    before = await registered(shelf, tree)
    (cache,) = (shelf.store_dir / what).glob("*.json")
    for content in (b"", b"[]", b'{"version": 1, "files": {"src/same": [1]}}', b"\xff"):
        cache.write_bytes(content)
        assert (await registered(shelf, tree)).artifact_id == before.artifact_id


async def test_contents_that_were_removed_are_taken_in_again(tree: Path, tmp_path: Path) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)
    before = await registered(shelf, tree)
    assert await shelf.remove(before.artifact_id) > 0
    assert kept(shelf).objects == 0
    again = await registered(shelf, tree)
    assert again.artifact_id == before.artifact_id
    assert kept(shelf).objects == 3


@pytest.mark.parametrize("left_bytes", [0, 3])
async def test_what_a_loss_of_power_left_of_a_content_is_made_whole(
    shelf: Library, tree: Path, left_bytes: int
) -> None:
    artifact = await registered(shelf, tree)
    files = [entry for entry in shelf.entries(artifact.artifact_id) if entry.kind is EntryKind.FILE]
    contents = {entry.content.decode() for entry in files}
    (manifest,) = (shelf.store_dir / "manifests").glob("*")
    manifest.unlink()  # it is written once everything is on disk
    for content in contents:
        os.truncate(shelf.objects.path(content), left_bytes)
    assert (await registered(shelf, tree)).artifact_id == artifact.artifact_id
    for content in contents:
        assert hashlib.sha256(shelf.objects.path(content).read_bytes()).hexdigest() == content


@pytest.mark.parametrize("size_bytes", [300_000, 3_000_000])
async def test_a_content_that_cannot_be_written_as_a_whole_is_a_clear_error(
    shelf: Library, tree: Path, size_bytes: int
) -> None:
    shelf.objects._can_clone = False
    (tree / "large").write_bytes(os.urandom(size_bytes))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # as a disk does that is nearly full
    try:
        with pytest.raises(OperationFailed, match=r"cannot use .*/objects: File too large"):
            await registered(shelf, tree)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in shelf.objects.directory.glob("??/*") if path.stat().st_size >= 200_000]
    assert kept(shelf).manifests == 0


async def test_what_cannot_be_in_an_artifact_is_said(shelf: Library, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "upwards").symlink_to("src/../../elsewhere")
    (tree / "src" / "dangling").symlink_to("not-there")
    (tree / ".git").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "sock"))
        artifact = await registered(shelf, tree)
    said = {each.path: each.reason for each in artifact.excluded}
    assert set(said) == {"pipe", "absolute", "upwards", ".git", "sock"}
    assert "/etc/passwd" in said["absolute"]
    links = [entry.path for entry in shelf.entries(artifact.artifact_id) if entry.kind is EntryKind.LINK]
    assert links == [b"src/dangling", b"src/link"]


async def test_a_link_that_leads_out_through_another_one_is_left_out(shelf: Library, tree: Path) -> None:
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "src" / "into").symlink_to("../deep/er")
    (tree / "out").symlink_to("src/into/../../../outside")
    artifact = await registered(shelf, tree)
    assert [each.path for each in artifact.excluded] == ["out"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tree: Path, tmp_path: Path) -> None:
    secret = tree / "src" / "same"
    secret.chmod(0)
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & 0o001:  # pytest makes its own 0700; /tmp has to stay as it is
            path.chmod(0o755)
    code = f"""
import asyncio, os
from pathlib import Path
from tests.unit.artifacts.samples import library, registered
os.setuid(65534)
asyncio.run(registered(library(Path({str(tmp_path / "theirs")!r})), Path({str(tree)!r})))
"""
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "InvalidArgument: cannot read src/same of the tree" in done.stderr


async def test_hostile_names_are_kept_byte_by_byte(shelf: Library, tree: Path) -> None:
    names = [b"-rf", b"--delete", b"a\nb", b"\x1b[2J", b"\xff\xfe", b" ", b"*", b"'\"", b"a\\b", b"\xe2\x80\xae"]
    for name in names:
        (tree / os.fsdecode(name)).write_bytes(name)
    artifact = await registered(shelf, tree)
    entries = {entry.path: entry for entry in shelf.entries(artifact.artifact_id)}
    assert set(names) <= set(entries)
    with tree_copy(shelf.store_dir, shelf.objects, list(entries.values())) as view:
        assert (await registered(shelf, view)).artifact_id == artifact.artifact_id


async def test_a_view_is_the_tree_with_its_modes_and_times(shelf: Library, tree: Path) -> None:
    (tree / "tests" / "same").chmod(0o4750)
    (tree / "empty").chmod(0o500)
    artifact = await registered(shelf, tree)
    with tree_copy(shelf.store_dir, shelf.objects, shelf.entries(artifact.artifact_id)) as view:
        assert (await registered(shelf, view)).artifact_id == artifact.artifact_id
        assert (view / "tests" / "same").stat().st_mode & 0o7777 == 0o4750
        assert (view / "src" / "same").stat().st_mtime_ns == LONG_AGO_NS
    assert kept(shelf).others == 0


async def test_a_file_that_changes_while_it_is_read_is_a_clear_error(
    shelf: Library, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.read

    def read_and_write(descriptor: int, size: int) -> bytes:
        content = real(descriptor, size)
        with (tree / "src" / "same").open("a") as file:
            file.write("more")
        return content

    shelf.objects._can_clone = False
    monkeypatch.setattr("reconciler.artifacts.objects.os.read", read_and_write)
    with pytest.raises(Conflict, match=r"same changed while the tree was read"):
        await registered(shelf, tree)
    assert shelf.registry.all() == {}
    assert kept(shelf).manifests == 0


@pytest.mark.parametrize("change", ["added", "removed", "mode"])
async def test_a_tree_that_changes_between_the_first_look_and_the_last_is_a_clear_error(
    shelf: Library, tree: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real = Objects.take_in

    def take_in(self: Objects, directory: Held, found: FoundFile, **words: object) -> object:
        reading = real(self, directory, found, **words)  # type: ignore[arg-type]
        match change:
            case "added":
                (tree / "new").touch()
            case "removed":
                shutil.rmtree(tree / "empty", ignore_errors=True)
            case "mode":
                (tree / "empty").chmod(0o700)
        return reading

    monkeypatch.setattr(Objects, "take_in", take_in)
    with pytest.raises(Conflict, match="changed while the tree was read"):
        await registered(shelf, tree)


async def test_what_another_artifact_needs_stays_when_one_is_removed(shelf: Library, tree: Path) -> None:
    first = await registered(shelf, tree)
    (tree / "src" / "same").write_text("other\n")
    second = await registered(shelf, tree)
    assert kept(shelf).objects == 4
    await shelf.remove(first.artifact_id)
    assert (kept(shelf).objects, kept(shelf).manifests) == (4, 1)
    with tree_copy(shelf.store_dir, shelf.objects, shelf.entries(second.artifact_id)) as view:
        assert (view / "tests" / "same").read_text() == "same\n"
    with pytest.raises(ArtifactNotFound):
        shelf.registry.find(first.artifact_id)


async def test_what_is_known_of_a_tree_goes_with_its_last_artifact(tree: Path, tmp_path: Path) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)

    def known() -> int:
        return sum(len(list((shelf.store_dir / what).iterdir())) for what in ("summaries", "readings"))

    first = await registered(shelf, tree)
    (tree / "src" / "same").write_text("other\n")
    second = await registered(shelf, tree)
    await shelf.remove(first.artifact_id)
    assert known() == 2, "the tree is still registered"
    await shelf.remove(second.artifact_id)
    assert known() == 0


async def test_many_registrations_at_once_do_not_disturb_each_other(tree: Path, tmp_path: Path) -> None:
    shelves = [library(tmp_path / "shelf") for _ in range(3)]  # each opens its own locks, as processes do
    made = await asyncio.gather(*(registered(shelf, tree) for shelf in shelves))
    assert len({artifact.artifact_id for artifact in made}) == 1
    assert kept(library(tmp_path / "shelf")).objects == 3


async def test_a_killed_registration_leaves_nothing_that_counts(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for index in range(1000):
        (tree / str(index)).write_bytes(os.urandom(20_000))
    code = f"""
import asyncio
from pathlib import Path
from tests.unit.artifacts.samples import library, registered
print("go", flush=True)
asyncio.run(registered(library(Path({str(tmp_path / "shelf")!r})), Path({str(tree)!r})))
"""
    shelf = library(tmp_path / "shelf")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=-1, stderr=-3)
    assert process.stdout is not None
    await process.stdout.readline()
    while not list(shelf.objects.directory.glob("??/*")):
        await asyncio.sleep(0.005)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    artifact = await registered(shelf, tree)
    with tree_copy(shelf.store_dir, shelf.objects, shelf.entries(artifact.artifact_id)) as view:
        assert (await registered(shelf, view)).artifact_id == artifact.artifact_id
    await shelf.remove(artifact.artifact_id)
    assert kept(shelf).objects == kept(shelf).others == 0


async def test_what_is_no_directory_is_refused(shelf: Library, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="not a directory"):
        await registered(shelf, Path("/etc/hostname"))


async def test_a_damaged_registry_or_manifest_is_named(shelf: Library, tree: Path) -> None:
    artifact = await registered(shelf, tree)
    (manifest,) = (shelf.store_dir / "manifests").glob("*")
    manifest.write_text("{}")
    with pytest.raises(OperationFailed, match="manifest"):
        shelf.entries(artifact.artifact_id)
    (shelf.store_dir.parent / "registry.json").write_text("{")
    with pytest.raises(OperationFailed, match="registry"):
        shelf.registry.all()


async def test_cancelling_ends_the_reading(shelf: Library, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for index in range(3000):
        (tree / str(index)).write_bytes(b"%d" % index)
    task = asyncio.create_task(registered(shelf, tree))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)
    assert shelf.registry.all() == {}


@pytest.mark.parametrize("kind", ["files", "directories", "links", "pipes", "long names"])
async def test_a_tree_of_too_many_names_is_refused_before_anything_is_read(
    shelf: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("reconciler.artifacts.scan.MEMORY_LIMIT_BYTES", 100_000)
    root = tmp_path / "large"
    root.mkdir()
    for number in range(40 if kind == "long names" else 100):
        match kind:
            case "files":
                (root / str(number)).touch()
            case "directories":
                (root / str(number)).mkdir()
            case "links":
                (root / str(number)).symlink_to("0")
            case "pipes":
                os.mkfifo(root / str(number))
            case "long names":
                below = root / ("d" * 250) / ("e" * 250) / ("f" * 250)
                below.mkdir(parents=True, exist_ok=True)
                (below / f"{number:0250}").touch()
    with pytest.raises(InvalidArgument, match=r"the tree has more than [0-9]+ names") as refused:
        await registered(shelf, root)
    assert "make install" in (refused.value.hint or "")
    assert not shelf.objects.directory.exists()


async def test_a_tree_costs_no_more_memory_than_is_counted(tmp_path: Path) -> None:
    root, shelf = tmp_path / "large", library(tmp_path / "shelf", later_s=3)
    for number in range(3000):
        place = root / f"directory-{number // 100:03}" / f"a-file-of-some-object-{number:05}.o"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    await registered(shelf, root)  # imports, and what is known the next time
    (root / "one-more").touch()
    tracemalloc.start()
    try:
        await registered(shelf, root)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < scan_tree(opened(root)).memory_bytes


@pytest.mark.parametrize("what", ["registry", "summaries", "readings"])
async def test_a_pipe_in_the_place_of_a_kept_file_keeps_nobody_waiting(tree: Path, tmp_path: Path, what: str) -> None:
    shelf = library(tmp_path / "shelf", later_s=3)
    artifact = await registered(shelf, tree)
    place = next(path for path in (tmp_path / "shelf").rglob("*.json") if what in (path.stem, path.parent.name))
    place.unlink()
    os.mkfifo(place)
    if what == "registry":
        with pytest.raises(OperationFailed, match=r"cannot be read: .*not a regular file"):
            shelf.registry.all()
    else:
        assert (await registered(shelf, tree)).artifact_id == artifact.artifact_id


async def test_a_registry_that_would_become_too_large_is_refused_and_can_shrink(
    shelf: Library, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, other = await registered(shelf, tree), tmp_path / "other"
    other.mkdir()
    (other / "one").touch()
    second = await registered(shelf, other)
    monkeypatch.setattr("reconciler.artifacts.registry.LIMIT_BYTES", 100)
    (other / "two.ko").write_bytes(module())
    with pytest.raises(OperationFailed, match=r"registry .* would be larger than") as refused:
        await registered(shelf, other)
    assert "`artifact_remove`" in (refused.value.hint or "")
    await shelf.remove(second.artifact_id)
    assert list(shelf.registry.all()) == [kept.artifact_id]
