"""What QEMU said in its log: golden samples of libvirt 9.0 with QEMU 7.2, and what may be around them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.host.libvirt.machine_power import LOG_LIMIT_BYTES, read_words
from reconciler.host.libvirt.qemu_log import WORDS_LIMIT, QemuWords, parse_last_run
from reconciler.model.document import Unknown

GOLDEN = Path(__file__).parent / "golden"
STOPPED = (GOLDEN / "internal-error.qemu-7.2.log").read_bytes()
KILLED = (GOLDEN / "killed.qemu-7.2.log").read_bytes()
WRITTEN_AT = datetime(2026, 11, 29, 2, 12, 40, tzinfo=UTC)
SUBERROR = "KVM internal error. Suberror: 1; emulation failure"
TERMINATED = b"2026-11-29T02:06:01.121446Z qemu-system-x86_64: terminating on signal 15 from pid 7\n"
TAINTED = b"2026-11-29 02:06:35.300+0000: Domain id=2 is tainted: custom-monitor\n"
COMMAND, REST = STOPPED.split(b"KVM internal error", 1)


def after_start(lines: bytes) -> bytes:
    """A log whose present run has just these lines after its command line."""
    return COMMAND + lines


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (STOPPED, QemuWords(SUBERROR, WRITTEN_AT, stops=True)),
        (STOPPED + TAINTED, QemuWords(SUBERROR, None, stops=True, talked_to=True)),
        (KILLED, QemuWords("", datetime(2026, 11, 29, 2, 12, 42, 874000, UTC))),
        (STOPPED + COMMAND, QemuWords()),
        (STOPPED[STOPPED.index(b"ESI=") :], QemuWords()),
        (b"", QemuWords()),
        (
            after_start(b"error: kvm run failed Bad address\nEAX=0 EBX=0\n"),
            QemuWords("error: kvm run failed Bad address", WRITTEN_AT, stops=True),
        ),
        (
            after_start(b"KVM: entry failed, hardware error 0x80000021\n\nRIP=0000 RFL=2\n"),
            QemuWords("KVM: entry failed, hardware error 0x80000021", WRITTEN_AT, stops=True),
        ),
        (
            after_start(
                b"2026-11-29T02:06:01.121446Z qemu-system-x86_64: terminating on signal 15 from pid 7\n" + TAINTED
            ),
            QemuWords(
                "terminating on signal 15 from pid 7", datetime(2026, 11, 29, 2, 6, 1, 121446, UTC), talked_to=True
            ),
        ),
        (after_start(b"said \x1b[31m\xff\n"), QemuWords("said \\x1b[31m\\xff", WRITTEN_AT)),
    ],
    ids=[
        "stopped",
        "asked since",
        "killed",
        "an earlier run",
        "registers only",
        "empty",
        "run",
        "entry",
        "own",
        "escaped",
    ],
)
def test_the_words_of_the_last_run_are_told_apart_from_all_else(log: bytes, words: QemuWords) -> None:
    assert parse_last_run(log, WRITTEN_AT) == words


def test_words_are_bounded_and_said_once() -> None:
    words = parse_last_run(after_start(b"a" * 5000 + b"\n" + b"same\nsame\n"), WRITTEN_AT).text
    assert len(words) == WORDS_LIMIT
    assert parse_last_run(after_start(b"same\nsame\n"), WRITTEN_AT).text == "same"


def test_only_the_end_of_a_log_is_read_and_one_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "lab.n0.log").write_bytes(b"x" * LOG_LIMIT_BYTES * 2 + b"\n" + STOPPED)
    words = read_words("lab.n0", tmp_path)
    assert isinstance(words, QemuWords)
    assert words.text == SUBERROR
    missing = read_words("lab.n1", tmp_path)
    assert isinstance(missing, Unknown)
    assert f"{tmp_path}/lab.n1.log cannot be read: No such file" in missing.unknown
