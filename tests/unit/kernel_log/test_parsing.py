"""Records and console text, well-formed and hostile."""

from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.kernel_log.console import last_boot, parse_console, take_whole_lines
from reconciler.kernel_log.line import TEXT_LIMIT, LogLine
from reconciler.kernel_log.records import parse_kmsg
from reconciler.kernel_log.report import Origin, report
from reconciler.model.kernel_log import LogSource

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


def test_a_console_of_format_syslog_shows_levels() -> None:
    timed, untimed = parse_console(b"<4>[    1.000000] one\n"), parse_console(b"<11>two\n")
    assert (timed[0].text, timed[0].level, timed[0].kernel) == ("one", 4, True)
    assert (untimed[0].text, untimed[0].level, untimed[0].facility, untimed[0].kernel) == ("two", 3, "user", False)


def test_a_line_that_comes_in_pieces_is_one_line_without_its_end() -> None:
    first, rest = take_whole_lines(b"[    1.000000] one\r\n[    2.000000] t")
    second, nothing = take_whole_lines(rest + b"wo\r\n")
    assert [line.text for line in first + second] == ["one", "two"]
    assert (take_whole_lines(b"[    3.0"), nothing) == (([], b"[    3.0"), b"")


def test_the_last_boot_begins_where_the_clock_goes_back() -> None:
    lines = parse_console(b"[    5.000000] old\n[   90.000000] old\nBIOS\n[    0.000000] new\n[    0.500000] new\n")
    assert [line.text for line in last_boot(lines)] == ["new", "new"]


def test_the_last_boot_begins_after_a_panics_last_words() -> None:
    lines = parse_console(b"[    5.000000] ---[ end Kernel panic - not syncing: x ]---\n[    9.000000] new\n")
    assert [line.text for line in last_boot(lines)] == ["new"]


def test_a_small_disorder_of_times_is_no_new_boot() -> None:
    lines = parse_console(b"[    5.000000] a\n[    4.900000] b\n")
    assert len(last_boot(lines)) == 2


def test_a_megabyte_on_one_line_is_cut_and_what_follows_is_found() -> None:
    lines = parse_console(b"[    1.000000] " + b"x" * (1 << 20) + b"[    2.000000] Kernel panic - not syncing: x\n")
    assert len(lines[0].text) < TEXT_LIMIT + 40
    assert report(lines, Origin(LogSource.CONSOLE)).panic_detected


@given(HOSTILE)
@example(b"[    1.000000] \x1b]0;title\x07text\x1b[?25l\n")
def test_a_hostile_console_is_harmless(output: bytes) -> None:
    lines = parse_console(output)
    assert all(is_harmless(line.text) for line in lines)
    answer = report(lines, Origin(LogSource.CONSOLE), filter_level="err+")
    assert answer.model_dump_json()
    assert len(last_boot(lines)) <= len(lines)


@given(HOSTILE)
def test_hostile_records_are_harmless(output: bytes) -> None:
    lines = parse_kmsg(output)
    assert all(is_harmless(line.text) for line in lines)
    assert report(lines, Origin(LogSource.KMSG)).model_dump_json()
