"""Events as people read them: what came again is one line with a count."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.frontends.cli.event_lines import Repeats, event_line, show_events
from reconciler.frontends.cli.options import OutputFormat
from reconciler.model.event import ClusterEvent, EventKind

BEGIN = datetime(2026, 11, 29, 12, tzinfo=UTC)

Captured = pytest.CaptureFixture[str]


def event(after_s: float, message: str, **more: object) -> ClusterEvent:
    usual = {"cluster_name": "lab", "kind": "ActionDone", "node": "n0", "subject": "ShutDown", "generation": 2}
    return ClusterEvent.model_validate({**usual, "at": BEGIN + timedelta(seconds=after_s), "message": message, **more})


def failed(after_s: float, message: str) -> ClusterEvent:
    return event(after_s, message, kind=EventKind.ACTION_FAILED, subject="Start")


def rows(capsys: Captured) -> list[str]:
    return [" ".join(line.split()[1:2] + line.split()[3:]) for line in capsys.readouterr().out.splitlines()]


def test_what_is_done_again_and_again_is_one_line_where_it_was_last_seen(capsys: Captured) -> None:
    show_events(
        [
            event(0, "done in 0.02 s"),
            event(0, "done in 0.02 s", node="n1"),
            failed(5, "failed: no room"),
            event(30, "done in 0.01 s"),
            failed(40, "failed: no room"),
            failed(45, "failed: no memory"),
            event(600, "done in 0.03 s"),
        ]
    )
    assert rows(capsys)[1:] == [
        "12:00:00Z ActionDone n1 ShutDown done in 0.02 s",
        "12:00:40Z ActionFailed n0 Start failed: no room (x2 over 35s)",
        "12:00:45Z ActionFailed n0 Start failed: no memory",
        "12:10:00Z ActionDone n0 ShutDown done in 0.03 s (x3 over 10m)",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"generation": 3},
        {"cluster_name": "other"},
        {"kind": EventKind.DRIFT_REPAIRED},
        {"node": "n1"},
        {"subject": "Start"},
    ],
)
def test_what_differs_in_more_than_its_duration_is_another_line(capsys: Captured, other: dict[str, object]) -> None:
    show_events([event(0, "done in 0.02 s"), event(1, "done in 0.02 s", **other)])
    assert len(rows(capsys)) == 3


def test_followed_events_are_counted_and_programs_get_each(capsys: Captured) -> None:
    repeats = Repeats()
    for after_s in (0, 4 * 3600, 9 * 86_400):
        event_line(event(after_s, "done in 0.02 s"), OutputFormat.TABLE, repeats)
    table = capsys.readouterr().out.splitlines()
    assert [line.rpartition("done in 0.02 s")[2] for line in table] == ["", " (x2 over 4h)", " (x3 over 9d)"]
    event_line(event(0, "done in 0.02 s"), OutputFormat.JSON, repeats)
    assert "(x" not in capsys.readouterr().out
