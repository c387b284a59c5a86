"""What is recognised, what is not, and what belongs together."""

import pytest

from reconciler.kernel_log.announcements import announced_kind
from reconciler.kernel_log.event_kinds import KernelEventKind, classification_of
from reconciler.kernel_log.kernel_events import EVENT_LINES_LIMIT, first_event
from reconciler.kernel_log.line import LogLine
from tests.unit.kernel_log.samples import EVENTS, HEADS, LOOK_ALIKES, NULL_POINTER, PANIC, WARN, find_events


def lines(text: str) -> list[LogLine]:
    return [LogLine(line) for line in text.split("\n")]


def kinds(text: str) -> list[str]:
    return [event.kind.value for event in find_events(lines(text))]


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_is_one_with_its_whole_trace_and_nothing_around_it(kind: str) -> None:
    text = f"virtio_net virtio0: before\n{EVENTS[kind]}\nvirtio_net virtio0: after"
    (event,) = find_events(lines(text))
    assert event.kind.value == kind
    assert event.members == list(range(1, 1 + len(lines(EVENTS[kind]))))


@pytest.mark.parametrize("head", HEADS)
def test_other_words_for_the_same_are_recognised(head: str) -> None:
    assert announced_kind(head) == HEADS[head]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_look_alike_is_no_event(text: str) -> None:
    assert announced_kind(text) is None


def test_every_kind_has_a_word_of_the_contract() -> None:
    words = {kind: classification_of(kind).value for kind in KernelEventKind}
    assert set(words.values()) == {"oops", "panic", "warn", "kasan", "ubsan"}
    assert words[KernelEventKind.NULL_POINTER] == "oops"
    assert words[KernelEventKind.HUNG_TASK] == "warn"


def test_every_kind_is_recognised_in_some_sample() -> None:
    assert {*EVENTS, *HEADS.values(), "kmsan"} == {kind.value for kind in KernelEventKind}
    assert announced_kind("BUG: KMSAN: uninit-value in test_it+0x4/0x9") is KernelEventKind.KMSAN


def test_events_that_follow_each_other_stay_apart() -> None:
    assert kinds("\n".join([WARN, NULL_POINTER, PANIC])) == ["warn", "null_pointer", "panic"]
    assert kinds("\n".join(EVENTS.values())) == list(EVENTS)


@pytest.mark.parametrize("kept", [3, 8, -1])
def test_an_oops_of_another_number_is_another_though_the_first_was_cut(kept: int) -> None:
    number = NULL_POINTER.index("[#1]")
    before = NULL_POINTER[:number].count("\n")
    cut = NULL_POINTER.split("\n")[: kept if kept < 0 else before + kept]
    second = NULL_POINTER.replace("[#1]", "[#2]")
    events = find_events(lines("\n".join([*cut, second])))
    assert [(event.kind.value, event.head) for event in events] == [("null_pointer", 0), ("null_pointer", len(cut))]
    assert events[0].members == list(range(len(cut)))


def test_a_program_that_quotes_a_panic_makes_none() -> None:
    quoted = [LogLine(line, facility="user", kernel=False) for line in PANIC.split("\n")]
    assert find_events(quoted) == []


def test_what_a_program_says_in_the_middle_does_not_end_a_trace() -> None:
    trace = lines(NULL_POINTER)
    mixed = [*trace[:5], LogLine("systemd[1]: hello", facility="daemon", kernel=False), *trace[5:]]
    (event,) = find_events(mixed)
    assert event.members == [*range(5), *range(6, len(mixed))]


def test_an_event_never_grows_beyond_its_limit() -> None:
    (event,) = find_events(lines("WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n" + " f+0x1/0x2\n" * 10_000))
    assert len(event.members) == EVENT_LINES_LIMIT


def test_the_first_event_is_the_same_whether_or_not_what_follows_is_looked_at() -> None:
    texts = [*EVENTS.values(), "nothing bad"]
    for text in texts:
        for other in texts:
            log = [
                line._replace(caller=caller)
                for pair in zip(lines(f"{text}\n{other}"), lines(f"{other}\n{text}"), strict=True)
                for line, caller in zip(pair, ("C0", "C1"), strict=True)
            ]
            for given in (lines(f"{text}\nother\n{other}"), log):
                assert first_event(given) == next(iter(find_events(given)), None)
