"""What comes back of reading /dev/kmsg: whole, overtaken, or not at all."""

import pytest

from reconciler.errors import OperationFailed
from reconciler.guest import kernel_buffer
from reconciler.guest.address import GuestAddress
from reconciler.guest.kernel_buffer import Follower, parse_kernel_buffer, write_marker
from reconciler.guest.pool import SshPool
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import LogLine
from reconciler.model.results import ExecResult
from tests.sshd import Sshd

HEADER = "0f0e0d0c-0b0a-4908-8706-050403020100 12.34\n"
ALL_READ = "dd: error reading '/dev/kmsg': Resource temporarily unavailable\n0+2 records in\n"
OVERTAKEN = "dd: error reading '/dev/kmsg': Broken pipe\n"


def answer(stdout: str, stderr: str = ALL_READ, exit_code: int = 1, *, truncated: bool = False) -> ExecResult:
    return ExecResult(
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
        duration_s=0.1,
        timed_out=False,
        stdout_truncated=truncated,
    )


def test_a_log_read_to_its_end_has_its_boot_and_all_its_lines() -> None:
    buffer = parse_kernel_buffer(answer(HEADER + "6,0,1,-;one\n6,1,2,-;two\n"), "n0")
    assert buffer is not None
    assert (buffer.boot_id, buffer.uptime_s, buffer.wrapped) == (HEADER[:36], 12.34, False)
    assert [line.text for line in buffer.lines] == ["one", "two"]


def test_a_log_that_does_not_begin_with_the_boot_has_wrapped() -> None:
    buffer = parse_kernel_buffer(answer(HEADER + "6,7,1,-;one\n"), "n0")
    assert buffer is not None
    assert buffer.wrapped


def test_a_reader_that_was_overtaken_has_nothing_to_show() -> None:
    assert parse_kernel_buffer(answer(HEADER + "6,0,1,-;one\n", OVERTAKEN), "n0") is None


@pytest.mark.parametrize(
    "read",
    [
        answer(HEADER, "dd: failed to open '/dev/kmsg': Permission denied\n"),
        answer("", "sh: dd: not found\n", 127),
        answer(HEADER + "6,0,1,-;one\n", truncated=True),
        answer("6,0,1,-;one\n"),
    ],
)
def test_a_log_that_was_not_read_whole_is_an_error_and_never_clean(read: ExecResult) -> None:
    with pytest.raises(OperationFailed) as caught:
        parse_kernel_buffer(read, "n0")
    assert caught.value.node == "n0"


def test_a_follower_passes_on_each_record_once_and_starts_over_with_each_boot() -> None:
    said: list[str] = []

    def note(line: LogLine) -> None:
        said.append(line.text)

    follower = Follower(None, None, note)  # type: ignore[arg-type]
    first = HEADER.encode()
    follower._take(first + b"6,0,1,-;a\n6,1,1,-;b\n")
    follower._take(first + b"6,0,1,-;a\n6,1,1,-;b\n6,2,1,-;c\n")
    follower._take(first.replace(b"0f", b"1f") + b"6,0,1,-;new\n")
    assert said == ["a", "b", "c", "new"]


def test_a_follower_passes_on_what_a_kernel_says_with_numbers_that_it_has_given_out_before() -> None:
    """Reverted to memory in which only `a` had been said; the boot is the same."""
    said: list[str] = []
    follower = Follower(None, None, lambda line: said.append(line.text))  # type: ignore[arg-type]
    follower._take(HEADER.encode() + b"6,0,1,-;a\n6,1,20,-;b\n6,2,30,-;c\n")
    follower._take(HEADER.encode() + b"6,0,1,-;a\n6,1,25,-;again\\x0aits second line\n")
    assert said == ["a", "b", "c", "again", "its second line"]


async def test_a_record_that_never_ends_is_not_kept_and_what_follows_it_is_passed_on(
    pool: SshPool, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "echo; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo '6,1,1,-;next'"
    monkeypatch.setattr(kernel_buffer, "_FOLLOW_COMMAND", f"echo {HEADER[:36]} 0; {hostile}")
    said: list[str] = []
    longest = 0

    def parsed(output: bytes) -> list[LogLine]:
        nonlocal longest
        longest = max(longest, len(output))
        return parse_kmsg(output)

    monkeypatch.setattr(kernel_buffer, "parse_kmsg", parsed)
    await Follower(pool, sshd.address, lambda line: said.append(line.text)).follow(timeout_s=30)
    assert said == ["next"]
    assert longest < 1_000_000


async def test_a_marker_that_is_not_taken_is_an_error(pool: SshPool, sshd: Sshd) -> None:
    address: GuestAddress = sshd.address
    with pytest.raises(OperationFailed, match="the marker was not written"):
        await write_marker(pool, address, "x' >/dev/null; exit 3 #", timeout_s=10)


async def test_output_is_handed_over_as_it_comes_and_not_kept(pool: SshPool, sshd: Sshd) -> None:
    said: list[bytes] = []
    result = await pool.run(sshd.address, "echo one; echo two >&2", timeout_s=10, on_stdout=said.append)
    assert (b"".join(said), result.stdout, result.stderr) == (b"one\n", "", "two\n")
