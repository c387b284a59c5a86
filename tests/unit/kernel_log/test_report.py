"""What is answered about one node: counts, filters, markers, limits."""

from importlib import import_module

import pytest

from reconciler.errors import InvalidArgument
from reconciler.kernel_log.kmsg_records import parse_kmsg
from reconciler.kernel_log.line import LogLine
from reconciler.kernel_log.marker import after_marker, marked_at_s, render_marker
from reconciler.kernel_log.report import LINES_LIMIT, ReportSource, first_bad_event, joined, log_report, place_of
from reconciler.model.kernel_log import FilterLevel, LogSource
from tests.unit.kernel_log.samples import EVENTS, NULL_POINTER, PANIC, WARN

FILTERS: tuple[FilterLevel, ...] = ("all", "warn+", "err+")

KMSG = ReportSource(LogSource.KMSG)
MARKER = render_marker(1_700_000_000_123_456, "0123456789abcdef")


def records(*said: tuple[int, str]) -> list[LogLine]:
    return [LogLine(text, 10 + number, level, "kern", number) for number, (level, text) in enumerate(said)]


def at(level: int, text: str) -> list[tuple[int, str]]:
    return [(level, line) for line in text.split("\n")]


def test_a_quiet_log_is_clean() -> None:
    answer = log_report(records((6, "hello"), (5, "world")), KMSG)
    assert (answer.warning_count, answer.error_count, answer.events) == (0, 0, ())
    assert [line.classified_as for line in answer.lines] == ["normal", "normal"]


def test_an_event_counts_once_whatever_the_length_of_its_trace() -> None:
    answer = log_report(records(*at(4, WARN), *at(1, NULL_POINTER), (4, "slow"), (3, "I/O error"), (6, "fine")), KMSG)
    assert (answer.warning_count, answer.error_count) == (2, 2)
    assert (answer.oops_detected, answer.panic_detected) == (True, False)
    assert [event.kind for event in answer.events] == ["warn", "null_pointer"]


def test_the_taint_of_a_module_from_outside_the_tree_is_no_warning() -> None:
    loaded = (
        (4, "probe: loading out-of-tree module taints kernel."),
        (4, "probe: module verification failed: signature and/or required key missing - tainting kernel"),
        (4, "probe: taints nothing"),
    )
    answer = log_report(records(*loaded), KMSG)
    assert (answer.warning_count, answer.error_count, len(answer.lines)) == (1, 0, 3)


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_is_ever_a_clean_log(kind: str) -> None:
    answer = log_report(
        [LogLine(line) for line in EVENTS[kind].split("\n")], ReportSource(LogSource.CONSOLE), filter_level="err+"
    )
    assert answer.warning_count + answer.error_count == 1
    assert [line.text for line in answer.lines] == EVENTS[kind].split("\n")


def test_filters_keep_what_is_bad_with_its_trace_and_say_nothing_else() -> None:
    lines = records((6, "info"), (4, "warning"), (3, "error"), *at(6, PANIC))
    trace = PANIC.split("\n")
    assert [line.text for line in log_report(lines, KMSG, filter_level="warn+").lines] == ["warning", "error", *trace]
    assert [line.text for line in log_report(lines, KMSG, filter_level="err+").lines] == ["error", *trace]
    assert log_report(lines, KMSG, filter_level="err+").warning_count == 1


def test_a_line_that_does_not_say_its_level_passes_a_filter_by_its_words() -> None:
    said = ["Linux version 6.1", "sd 0:0:0:0: [sda] failed to start", "usb 1-1: unsupported speed"]
    lines = [*(LogLine(text, 1) for text in said), LogLine("login: error", kernel=False)]
    of = {level: log_report(lines, KMSG, filter_level=level) for level in FILTERS}
    assert [[line.text for line in of[level].lines] for level in FILTERS] == [
        [*said, "login: error"],
        said[1:],
        said[1:2],
    ]
    assert [bool(of[level].message) for level in FILTERS] == [False, True, True]


def test_a_marker_is_no_error() -> None:
    marker = LogLine(MARKER, 1, 3, "user", 1, kernel=False)
    assert log_report([marker], KMSG).error_count == 0
    for line in (marker, LogLine(MARKER, 1, kernel=True)):
        assert [len(log_report([line], KMSG, filter_level=of).lines) for of in ("all", "warn+", "err+")] == [1, 0, 0]


def test_after_a_marker_comes_everything_of_its_very_microsecond_and_nothing_before() -> None:
    output = b"".join(b"6,%d,500,-;line %d\n" % (number, number) for number in range(10))
    output += b"11,10,500,-;%b\n" % MARKER.encode()
    output += b"".join(b"6,%d,500,-;line %d\n" % (number, number) for number in range(11, 15))
    found = after_marker(parse_kmsg(output), MARKER)
    assert found is not None
    assert [line.sequence for line in found] == [11, 12, 13, 14]


def test_a_marker_that_is_not_there_is_not_mistaken_for_an_empty_log() -> None:
    assert after_marker(records((6, "hello")), MARKER) is None


def test_a_marker_knows_its_time_and_others_are_refused() -> None:
    assert marked_at_s(MARKER) == pytest.approx(1_700_000_000.123456)
    for wrong in ("", "x", MARKER + " ", MARKER[:-1], "vmcluster-mark:1.2:3"):
        with pytest.raises(InvalidArgument):
            marked_at_s(wrong)


def test_very_many_lines_are_cut_from_the_front_and_said_to_be() -> None:
    answer = log_report([LogLine(str(number)) for number in range(LINES_LIMIT + 5)], KMSG)
    assert (len(answer.lines), answer.lines[0].text, answer.omitted_lines) == (LINES_LIMIT, "5", 5)


def test_an_answer_has_room_for_so_many_lines_of_ordinary_length() -> None:
    few = ReportSource(LogSource.KMSG, lines_limit=10)
    assert len(log_report([LogLine("x" * 256)] * 20, few).lines) == 10
    long = log_report([LogLine("x" * 1000)] * 20, few)
    assert (len(long.lines), long.omitted_lines) == (2, 18)
    events = log_report(records(*at(1, "\n".join([NULL_POINTER] * 40))), few).events
    assert sum(len(line) for event in events for line in event.lines[:-1]) <= 2560
    assert events[-1].lines[-1].endswith("more lines of this report]")


def test_what_both_sources_have_is_shown_once() -> None:
    kmsg = records((4, "new boot"))
    console = [LogLine("old boot", 99), LogLine("new boot", 10), LogLine("login:", kernel=False)]
    assert [line.text for line in joined(console, kmsg)] == ["old boot", "new boot"]


def test_a_kernel_is_healthy_until_its_first_bad_event() -> None:
    assert first_bad_event(records((3, "I/O error"))) is None
    first = first_bad_event(records(*at(4, WARN), *at(0, PANIC)))
    assert first is not None
    assert first.kind == "warn"
    assert first.summary.startswith("WARNING: CPU: 0 PID: 12 at drivers/test/provoke.c:41")


@pytest.mark.parametrize(
    ("report", "place"),
    [
        (
            ("BUG: kernel NULL pointer dereference", "RIP: 0010:foo.cold+0x1/0x2 [mod]", "RIP: 0010:x+0x1/0x2"),
            "foo.cold+0x1/0x2 [mod]",
        ),
        (
            ("WARNING: CPU: 0 PID: 12 at a.c:41 warn_me+0x1/0x2 [mod]", "RIP: 0010:other+0x1/0x2"),
            "warn_me+0x1/0x2 [mod]",
        ),
        (
            (
                "Unable to handle kernel paging request",
                "pc : [<c0100010>]    lr : [<c0100030>]",
                "epc   : 80100010 foo+0x10/0x20",
            ),
            "foo+0x10/0x20",
        ),
        (
            ("Unable to handle kernel paging request", "NIP [c008000000000010] foo+0x10/0x20 [mod]"),
            "foo+0x10/0x20 [mod]",
        ),
        (("Kernel panic - not syncing: sysrq", "Call Trace:", " dump_stack_lvl+0x44/0x5c"), None),
    ],
)
def test_an_event_says_where_in_the_code_it_happened_if_its_report_does(
    report: tuple[str, ...], place: str | None
) -> None:
    head, *rest = report
    assert place_of(head, rest) == place


def test_scripts_that_measure_kernel_logs_find_their_names() -> None:
    names = {
        "reconciler.host.console": ["read_console"],
        "reconciler.kernel_log.console": ["last_boot", "parse_console"],
    }
    for module, found in {**names, "reconciler.kernel_log.report": ["Origin", "report"]}.items():
        assert all(callable(getattr(import_module(module), name)) for name in found), module
