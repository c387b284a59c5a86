"""Records and console text, well-formed and hostile."""

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.kernel_log.console import (
    ConsoleStream,
    Style,
    dropped_messages,
    last_boot,
    parse_console,
    style_of,
)
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import TEXT_LIMIT, LogLine
from reconciler.kernel_log.report import ReportSource, log_report
from reconciler.model.kernel_log import LogSource

CONSOLE = ReportSource(LogSource.CONSOLE)
PIECES = st.sampled_from(
    [
        *(
            b"6,1,1000,-;",
            b"12,5,7,c,caller=T1;",
            b" SUBSYSTEM=net",
            b"\\x1b[2J",
            b"\\x0a",
            b"\x1b[31m",
            b"\n",
            b"\r\n",
        ),
        *(
            b"[    1.000000] ",
            b"<4>[   12.345678][    T1] ",
            b"[99999",
            b"\xff\xfe",
            b"\xe2\x80\xae",
            b"\x00",
            b"=" * 70,
        ),
        *(b"Kernel panic - not syncing: x", b"---[ end Kernel panic - not syncing: x", b"BUG: KASAN: a", b"\x9b31m"),
        *(b"------------[ cut here ]------------", b"WARNING: CPU: 0 PID: 1 at a", b" f+0x1/0x2", b"A" * 3000),
    ]
)
HOSTILE = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(b"".join))


def is_harmless(text: str) -> bool:
    return len(text) <= TEXT_LIMIT * 4 + 40 and not any(
        (ord(char) < 32 and char != "\t") or 127 <= ord(char) < 160 for char in text
    )


def test_a_record_says_priority_sequence_time_and_text() -> None:
    output = b"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n DEVICE=+x\n12,340,5140901,-;hello\n"
    assert parse_kmsg(output) == [
        LogLine("NET: Registered protocol family 10", 5140900, 6, "kern", 339),
        LogLine("hello", 5140901, 4, "user", 340, kernel=False),
    ]


def test_more_fields_of_a_newer_kernel_are_passed_over() -> None:
    (line,) = parse_kmsg(b"4,7,1,c,caller=T12,whatever=1;a;b,c\n")
    assert (line.text, line.level, line.sequence) == ("a;b,c", 4, 7)


def test_escapes_are_undone_but_for_what_could_harm() -> None:
    (line,) = parse_kmsg(rb"6,1,1,-;\xc3\xbc \x5c \x09 \x1b[2J\x07 \xff" + b"\n")
    assert line.text == "ü \\ \t \\x07 \N{REPLACEMENT CHARACTER}"


def test_a_record_of_several_lines_is_several_lines_of_one_sequence() -> None:
    assert [(line.text, line.sequence) for line in parse_kmsg(rb"6,9,1,-;one\x0atwo" + b"\n")] == [
        ("one", 9),
        ("two", 9),
    ]


def test_a_console_tells_the_kernels_lines_from_those_of_others() -> None:
    output = b"GRUB loading\r\n[    1.500000] one\r\n\r\nn0 login: [   12.345678] two\r\n[   13.000000][    T1] three"
    assert [(line.text, line.timestamp_us, line.kernel) for line in parse_console(output)] == [
        ("GRUB loading", None, False),
        ("one", 1_500_000, True),
        ("n0 login: ", None, False),
        ("two", 12_345_678, True),
        ("three", 13_000_000, True),
    ]


def test_two_lines_of_the_kernel_that_ran_together_are_two() -> None:
    assert [line.text for line in parse_console(b"[    1.000000] cut sho[    1.000001] next\n")] == ["cut sho", "next"]


def test_a_console_without_times_may_be_the_kernels_altogether() -> None:
    (line,) = parse_console(b"Kernel panic - not syncing: x\n")
    assert (line.kernel, line.level) == (True, None)


def test_a_console_with_callers_and_no_times_has_the_kernels_lines_too() -> None:
    console = b"[    T1] one\r\nsays [    T1] what\r\nn0 login: [    T2] two\r\n<12>[   C11] three\r\n"
    assert [(line.text, line.caller, line.facility, line.kernel) for line in parse_console(console)] == [
        ("one", "T1", None, True),
        ("says [    T1] what", None, None, False),
        ("n0 login: ", None, None, False),
        ("two", "T2", None, True),
        ("three", "C11", "user", False),
    ]


def test_a_kernel_without_times_that_speaks_behind_a_login_prompt_is_heard() -> None:
    lines = parse_console(b"booting\nn0 login: Kernel panic - not syncing: x\n")
    assert [event.kind for event in log_report(lines, CONSOLE).events] == ["panic"]


def test_stamps_without_their_blanks_are_understood_where_many_lines_have_them() -> None:
    lines = parse_console(b"SeaBIOS\n[0.000000] Linux version 6.1.0\n<3>[12.345678] BUG: x\n[10000.000001][ T7] late\n")
    assert [(line.text, line.timestamp_us, line.kernel) for line in lines] == [
        ("SeaBIOS", None, False),
        ("Linux version 6.1.0", 0, True),
        ("BUG: x", 12_345_678, True),
        ("late", 10_000_000_001, True),
    ]
    few = b"".join(b"job %d done\n" % number for number in range(20)) + b"[1.234567] BUG: of a program\n"
    assert style_of(few) is Style.BARE
    assert style_of(b"[    1.234567] a\n[1.234567] b\n[1.234567] c\n") is Style.TIMED


def test_odd_stamps_are_understood() -> None:
    lines = parse_console(
        b"[12345678901.000001] a\n[    1.000002 ][ T7 ] b\n<6>[    1.000003][    C0] c\n[1.000000] d\n"
    )
    assert [(line.text, line.timestamp_us, line.caller, line.kernel) for line in lines] == [
        ("a", 12_345_678_901_000_001, None, True),
        ("b", 1_000_002, "T7", True),
        ("c", 1_000_003, "C0", True),
        ("[1.000000] d", None, None, False),
    ]


def test_messages_that_the_console_dropped_are_noticed_on_a_line_of_their_own_and_in_front_of_another() -> None:
    lines = parse_console(
        b"[    1.000000] a\n** 12 printk messages dropped **\n** 3 printk messages dropped ** [    2.000000] b\n"
    )
    assert [(line.text.strip(), line.kernel) for line in lines] == [
        ("a", True),
        ("** 12 printk messages dropped **", True),
        ("** 3 printk messages dropped **", True),
        ("b", True),
    ]
    assert dropped_messages(lines) == 15
    assert dropped_messages(parse_console(b"[    1.000000] a\ncut sho** 4 printk messages dropped **\n")) == 4
    assert dropped_messages(parse_console(b"[    1.000000] a\nsays ** 12 printk messages dropped ** now\n")) == 0


def test_carriage_returns_before_and_after_a_line_are_none_of_it() -> None:
    output = b"\r\r[    1.000000] one\r\r\n\r\n[    2.000000] two\r\r[    3.000000] three\r"
    assert [line.text for line in parse_console(output)] == ["one", "two", "three"]


def test_what_a_program_wrote_is_told_apart_where_the_console_says_who_wrote() -> None:
    echoed = "BUG: unable to handle page fault for address: 0000000000000001"
    syslog, plain = f"<12>[    1.000000] {echoed}\n".encode(), f"[    1.000000] {echoed}\n".encode()
    assert log_report(parse_console(syslog), CONSOLE).events == ()
    assert len(log_report(parse_console(plain), CONSOLE).events) == 1  # nothing tells: README says so


def test_a_console_of_format_syslog_shows_levels() -> None:
    timed, untimed = parse_console(b"<4>[    1.000000] one\n"), parse_console(b"<11>two\n")
    assert (timed[0].text, timed[0].level, timed[0].kernel) == ("one", 4, True)
    assert (untimed[0].text, untimed[0].level, untimed[0].facility, untimed[0].kernel) == ("two", 3, "user", False)


def test_a_line_that_comes_in_pieces_is_one_line_without_its_end() -> None:
    stream = ConsoleStream()
    pieces = (b"[    1.000000] one\r\n[    2.000000] t", b"wo\r\n[    3.0", b"login:")
    assert [[line.text for line in stream.take(piece)] for piece in pieces] == [["one"], ["two"], []]


def test_a_line_that_never_ends_is_told_in_parts_and_not_kept() -> None:
    stream = ConsoleStream()
    told = [line for _ in range(200) for line in stream.take(b"x" * 10_000)]
    assert 20 < len(told) < 40
    assert [line.text for line in stream.take(b"\n[    1.000000] next\n")][-1] == "next"


def test_a_megabyte_on_one_line_is_cut_and_what_follows_is_found() -> None:
    lines = parse_console(b"[    1.000000] " + b"x" * (1 << 20) + b"[    2.000000] Kernel panic - not syncing: x\n")
    assert len(lines[0].text) < TEXT_LIMIT + 40
    assert log_report(lines, CONSOLE).panic_detected


@given(HOSTILE)
@example(b"[    1.000000] \x1b]0;title\x07text\x1b[?25l\n")
def test_a_hostile_console_is_harmless(output: bytes) -> None:
    lines = parse_console(output)
    assert all(is_harmless(line.text) for line in lines)
    answer = log_report(lines, CONSOLE, filter_level="err+")
    assert answer.model_dump_json()
    assert len(last_boot(lines)) <= len(lines)


@given(HOSTILE)
def test_hostile_records_are_harmless(output: bytes) -> None:
    lines = parse_kmsg(output)
    assert all(is_harmless(line.text) for line in lines)
    assert log_report(lines, ReportSource(LogSource.KMSG)).model_dump_json()
