"""Taking turns at a host: stores that have the same libvirt, by whatever name, and users who are hostile."""

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.errors import HostOccupied, StoreUnavailable
from reconciler.store import host_lease
from reconciler.store.host_lease import HostLease, lease_directory
from tests.libvirt_socket import silent_libvirt
from tests.unit.store.conftest import Spawn
from tests.waiting import PATIENCE_S

NOBODY, GROUP = 65534, 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users are played by root")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return silent_libvirt(tmp_path)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def mine(uri: str) -> HostLease:
    return HostLease(uri, Path("/mine"))


@pytest.fixture
def theirs(uri: str) -> HostLease:
    return HostLease(uri, Path("/theirs"), purpose="vmcluster watch")


async def test_another_store_waits_and_is_told_whose_the_host_is(mine: HostLease, theirs: HostLease) -> None:
    async with theirs.turn(0):
        told = rf"process {os.getpid()} \(vmcluster watch\) of the store in /theirs holds it"
        with pytest.raises(HostOccupied, match=told):
            async with mine.turn(0.05):
                pytest.fail("two stores work at once")
        assert mine.other_holder() is not None
        assert theirs.other_holder() is None
        waits = asyncio.create_task(_one_turn(mine))
        await asyncio.sleep(0.05)
        assert not waits.done()
    await waits
    assert mine.other_holder() is None


@pytest.mark.parametrize(
    "same",
    [
        "qemu:///system?socket={}",
        "qemu+unix:///system?mode=legacy&socket={}",
        "qemu+unix:///system?socket={}.link",
        "qemu+unix:///system?socket={}/../libvirt-sock",
        "qemu+unix:///system?socket=/nowhere&socket={}",
    ],
)
async def test_a_libvirt_is_the_same_by_whatever_name_its_socket_goes(
    tmp_path: Path, theirs: HostLease, same: str
) -> None:
    socket = tmp_path / "libvirt-sock"
    (tmp_path / "libvirt-sock.link").symlink_to(socket)
    named = (
        same.format(socket)
        .replace(f"{socket}/..", str(tmp_path))
        .replace(str(tmp_path), str(tmp_path).replace("/", "%2F"))
    )
    async with theirs.turn(0):
        with pytest.raises(HostOccupied):
            async with HostLease(named, Path("/mine")).turn(0):
                pytest.fail("two stores work at once")


def test_the_systems_own_libvirt_has_one_lease_whatever_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "run" / "libvirt-sock"
    own.parent.mkdir()
    own.touch()
    (tmp_path / "elsewhere").hardlink_to(own)
    monkeypatch.setattr(host_lease, "DIRECTORY", tmp_path / "vmcluster")
    monkeypatch.setattr(host_lease, "_LIBVIRT_SOCKETS", (own, own.with_name("virtqemud-sock")))
    named = (own, own.parent / "." / "libvirt-sock", tmp_path / "elsewhere")
    uris = ["qemu:///system", "qemu+unix:///system", *(f"qemu:///system?socket={path}" for path in named)]
    assert {lease_directory(uri) for uri in uris} == {tmp_path / "vmcluster"}


async def test_a_libvirt_that_is_not_there_is_nobodys_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    absent = f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"
    async with HostLease(absent, Path("/mine")).turn(0), HostLease(absent, Path("/theirs")).turn(0):
        assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_turns_of_one_process_overlap_and_do_not_keep_another_store_out(
    mine: HostLease, theirs: HostLease
) -> None:
    """As many keepers' rounds do: there is never a moment without a turn, unless one gives way."""
    at_once, most = 0, 0

    async def busy() -> None:
        nonlocal at_once, most
        while True:
            async with mine.turn(PATIENCE_S):
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.02)
                at_once -= 1

    workers = []
    for _ in range(3):
        workers.append(asyncio.create_task(busy()))
        await asyncio.sleep(0.007)
    for _ in range(3):
        async with theirs.turn(PATIENCE_S):
            assert at_once == 0
    await asyncio.sleep(0.05)
    assert most == len(workers)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    await _one_turn(theirs, timeout_s=0)


async def test_a_wait_that_is_given_up_is_in_nobodys_way(mine: HostLease, theirs: HostLease, uri: str) -> None:
    third = HostLease(uri, Path("/third"))
    async with theirs.turn(0):
        waits = asyncio.create_task(_one_turn(mine))
        await asyncio.sleep(0.03)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        with pytest.raises(HostOccupied):
            await _one_turn(mine, timeout_s=0.02)
    await _one_turn(third, timeout_s=0)


async def test_the_kernel_takes_the_lease_from_a_killed_holder(
    mine: HostLease, uri: str, spawn_in_state_dir: Spawn
) -> None:
    client = await spawn_in_state_dir("hold_host")
    assert client.stdout is not None
    assert await client.stdout.readline() == b"held\n"
    with pytest.raises(HostOccupied, match=rf"process {client.pid} \(a test\)"):
        await _one_turn(mine, timeout_s=0)
    client.kill()
    await client.wait()
    await _one_turn(mine, timeout_s=0)


@pytest.mark.parametrize("name", ["host.lock", "next.lock"])
@pytest.mark.parametrize(
    "put", [Path.symlink_to, Path.hardlink_to, lambda lock, _precious: os.mkfifo(lock), lambda lock, _: lock.mkdir()]
)
async def test_what_somebody_has_put_in_the_place_of_a_lock_is_not_written_to(
    tmp_path: Path, mine: HostLease, name: str, put: Callable[[Path, Path], None]
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    (tmp_path / "vmcluster").mkdir(mode=0o700)
    put(tmp_path / "vmcluster" / name, precious)
    with pytest.raises(StoreUnavailable, match=f"cannot be taken in {tmp_path}/vmcluster"):
        await _one_turn(mine)
    assert precious.read_text() == "as it was"


async def test_a_directory_that_is_a_link_or_open_to_all_is_not_used(tmp_path: Path, mine: HostLease) -> None:
    directory, elsewhere = tmp_path / "vmcluster", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    directory.symlink_to(elsewhere)
    with pytest.raises(StoreUnavailable, match="cannot be taken"):
        await _one_turn(mine)
    directory.unlink()
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(StoreUnavailable, match="with mode 777"):
        await _one_turn(mine)
    assert list(elsewhere.iterdir()) == list(directory.iterdir()) == []


@as_root
async def test_a_directory_of_another_user_is_not_used(tmp_path: Path, mine: HostLease) -> None:
    (tmp_path / "vmcluster").mkdir(mode=0o700)
    os.chown(tmp_path / "vmcluster", NOBODY, NOBODY)
    with pytest.raises(StoreUnavailable, match=f"user {NOBODY} owns it"):
        await _one_turn(mine)


@as_root
@pytest.mark.parametrize(("mode", "answers"), [(0o660, ["occupied", "free"]), (0o600, ["unusable", "unusable"])])
async def test_who_may_use_libvirt_takes_turns_with_root_and_nobody_else_may(
    open_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, answers: list[str]
) -> None:
    uri = silent_libvirt(open_path)
    roots = HostLease(uri, Path("/roots"))
    os.chown(open_path / "libvirt-sock", 0, GROUP)
    (open_path / "libvirt-sock").chmod(mode)
    async with roots.turn(0):
        first = _another_user(open_path, uri, monkeypatch)
    assert [first, _another_user(open_path, uri, monkeypatch)] == answers
    await _one_turn(roots)  # with what the other user has left


@as_root
def test_who_may_not_make_the_directory_has_one_for_all_stores_of_his_own(
    open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _another_user(open_path, silent_libvirt(open_path), monkeypatch) == "free"
    assert not (open_path / "vmcluster").exists()
    directory = open_path / "runtime" / "vmcluster"
    assert (directory / "host.lock").exists()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@as_root
@pytest.mark.parametrize("owner", [0, NOBODY], ids=["a directory open to all", "a directory that is not taken"])
def test_a_runtime_directory_that_others_have_made_below_tmp_is_a_clear_error(
    open_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int
) -> None:
    """As `platformdirs` has answered at first, and later."""
    uri = silent_libvirt(open_path)
    (open_path / "planted").mkdir()
    (open_path / "planted").chmod(0o777)

    def planted(name: str) -> Path:
        if owner:
            raise PermissionError(f"it is owned by uid {owner}")
        return open_path / "planted" / name

    monkeypatch.setattr(host_lease, "user_runtime_path", planted)
    assert _another_user(open_path, uri, monkeypatch) == "unusable"
    assert list((open_path / "planted").iterdir()) == []


def _another_user(directory: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a turn ends of somebody who is in the group of libvirt's users."""
    runtime = directory / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.chown(runtime, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    answers, answer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([GROUP])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(answer, asyncio.run(_outcome(uri)).encode())
        except BaseException as error:
            os.write(answer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(answer)
    os.waitpid(child, 0)
    with os.fdopen(answers) as said:
        return said.read()


async def _outcome(uri: str) -> str:
    try:
        await _one_turn(HostLease(uri, Path("/others")), timeout_s=0)
    except HostOccupied:
        return "occupied"
    except StoreUnavailable:
        return "unusable"
    return "free"


async def _one_turn(lease: HostLease, timeout_s: float = PATIENCE_S) -> None:
    async with lease.turn(timeout_s):
        pass
