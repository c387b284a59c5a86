"""Start-up files of a node's shell: whatever they print, the program's own scripts are not fooled."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.artifacts.installed import parse_installed_id
from reconciler.errors import SshError
from reconciler.files.roots import opened, place_at
from reconciler.guest import tar_transfer
from reconciler.guest.openssh import write_known_hosts
from reconciler.guest.pool import SshPool
from reconciler.guest.rsync import parse_bytes_sent, render_rsync_upload
from reconciler.observe.node_vitals import LOOK_COMMAND, parse_vitals_answer
from reconciler.process import run
from tests.sshd import Sshd, anywhere
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.long

NOISE = {
    "words": "echo Welcome; echo 'and beware' >&2",
    "no-newline": "printf 'no newline'; printf 'none here' >&2",
    "binary": "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2",
    "look-alike": "echo vmcluster-begin:0123456789abcdef; echo vmcluster-group:0123456789abcdef:1 >&2",
    "tricks": "cd() { echo fooled; }; tar() { cd; }; cat() { cd; }; head() { cd; }; export -f cd tar cat head; "
    "set -eu; export LC_ALL=C",
}


@pytest.fixture(params=NOISE)
def noisy(own_sshd: Sshd, tmp_path: Path, request: pytest.FixtureRequest) -> Sshd:
    (tmp_path / ".bashrc").write_text(NOISE[request.param] + "\n")
    return own_sshd


async def test_a_script_of_our_own_answers_with_its_own_output_only(pool: SshPool, noisy: Sshd) -> None:
    script = "echo out; echo err >&2; cat; exit 3"
    result = await pool.run(noisy.address, script, timeout_s=PATIENCE_S, stdin=b"given", own=True)
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\ngiven", "err\n")
    heard = bytearray()
    await pool.run(noisy.address, script, timeout_s=PATIENCE_S, on_stdout=heard.extend, own=True)
    assert heard == b"out\n"
    await pool.wait_until_reachable(noisy.address, timeout_s=PATIENCE_S)


async def test_what_a_node_says_of_itself_is_understood(pool: SshPool, noisy: Sshd) -> None:
    seen = parse_vitals_answer(
        await pool.run(noisy.address, LOOK_COMMAND, timeout_s=PATIENCE_S, own=True), datetime.now(UTC)
    )
    assert seen.vitals is not None
    assert all(name.isprintable() and " " not in name for name in seen.modules)
    assert seen.artifact_id == parse_installed_id("")


async def test_files_are_copied_both_ways(pool: SshPool, noisy: Sshd, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(range(256)) * 1000)
    async with tar_transfer.packed_parcel(opened(source), tmp_path, lambda _: None) as parcel:
        there, back = tmp_path / "there", tmp_path / "back"
        await tar_transfer.push_parcel(
            pool, noisy.address, parcel, str(there), replace=False, timeout_s=PATIENCE_S, on_bytes=lambda _: None
        )
    moved = await tar_transfer.pull_tree(
        pool,
        noisy.address,
        str(there),
        place_at(back),
        require_free=anywhere,
        limit_bytes=10**9,
        timeout_s=PATIENCE_S,
        on_bytes=lambda _: None,
    )
    assert (back / "file").read_bytes() == (source / "file").read_bytes()
    assert moved.skipped == []


async def test_rsync_speaks_its_protocol_behind_the_noise(noisy: Sshd, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(range(256)) * 10_000)
    write_known_hosts(tmp_path / "known_hosts", [noisy.address])
    argv = render_rsync_upload(
        noisy.address, tmp_path / "known_hosts", tmp_path / "tree", str(tmp_path / "copy"), ["-rlpt"]
    )
    done = await run(argv, timeout_s=PATIENCE_S, check=False)
    assert (done.exit_code, parse_bytes_sent(done.stdout) > 2_560_000) == (0, True)
    assert (tmp_path / "copy" / "file").read_bytes() == (tmp_path / "tree" / "file").read_bytes()
    gone = await run([*argv[:-1], f"{noisy.address.host}:/proc/none/"], timeout_s=PATIENCE_S, check=False)
    assert gone.exit_code not in (0, None)


async def test_a_start_up_file_that_ends_the_shell_is_named_as_the_cause(
    pool: SshPool, own_sshd: Sshd, tmp_path: Path
) -> None:
    (tmp_path / ".bashrc").write_text("echo not today >&2; exit 5\n")
    with pytest.raises(SshError, match=r"ended with 5 before .*: not today \(a start-up file such as ~/.bashrc"):
        await pool.run(own_sshd.address, "echo out", timeout_s=PATIENCE_S, own=True)
    with pytest.raises(SshError, match="start-up file"):
        await tar_transfer.pull_tree(
            pool,
            own_sshd.address,
            str(tmp_path / ".bashrc"),
            place_at(tmp_path / "back"),
            require_free=anywhere,
            limit_bytes=100,
            timeout_s=PATIENCE_S,
            on_bytes=lambda _: None,
        )
    async with tar_transfer.packed_parcel(opened(tmp_path / ".bashrc"), tmp_path, lambda _: None) as parcel:
        with pytest.raises(SshError, match="start-up file"):
            await tar_transfer.push_parcel(
                pool,
                own_sshd.address,
                parcel,
                str(tmp_path / "there"),
                replace=False,
                timeout_s=PATIENCE_S,
                on_bytes=lambda _: None,
            )
