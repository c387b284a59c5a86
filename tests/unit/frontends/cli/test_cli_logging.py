"""Logs of a command: on standard error, quiet by default, harmless on a terminal."""

import json
from collections.abc import Iterator

import pytest
import structlog

from reconciler.act.runner import carry_out
from reconciler.errors import OperationFailed
from reconciler.frontends.cli.cli_logging import configure_logs
from reconciler.frontends.cli.options import LogOptions
from reconciler.model.plan import Plan, Start
from reconciler.model.record import ClusterRecord
from tests.simulation.acting import bare_context
from tests.simulation.worlds import running_record

from .conftest import Invoke

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(capsys: Captured, options: LogOptions, configured: str | None = None) -> list[str]:
    configure_logs(options, configured)
    log = structlog.get_logger()
    for level in ("debug", "info", "warning"):
        getattr(log, level)(level, value="\x1b[2Ja\nb")
    out, err = capsys.readouterr()
    assert out == ""
    return list(err.splitlines())


@pytest.mark.parametrize(
    ("options", "configured", "lines"),
    [
        (LogOptions(), None, 1),
        (LogOptions(verbosity=1), None, 2),
        (LogOptions(verbosity=9), None, 3),
        (LogOptions(), "DEBUG", 3),
        (LogOptions(), "ERROR", 0),
        (LogOptions(verbosity=1), "ERROR", 2),
    ],
)
def test_warnings_are_logged_unless_the_configuration_or_the_user_asks_for_another_level(
    capsys: Captured, options: LogOptions, configured: str | None, lines: int
) -> None:
    assert len(logged(capsys, options, configured)) == lines


@pytest.mark.parametrize(
    ("options", "configured", "logged"),
    [
        (LogOptions(), None, False),
        (LogOptions(verbosity=1), None, True),
        (LogOptions(as_json=True), None, True),
        (LogOptions(), "WARNING", True),
    ],
)
async def test_an_action_that_fails_is_logged_where_logs_are_asked_for_as_the_command_tells_of_it_anyway(
    capsys: Captured, options: LogOptions, configured: str | None, logged: bool
) -> None:
    async def refuse(_action: object, _context: object) -> None:
        raise OperationFailed("no room")

    configure_logs(options, configured)
    (failed,) = await carry_out(
        Plan(actions=(Start(node="alpha", reason="off", paused=False, resume_epoch=0),)),
        bare_context(running_record("alpha")),
        refuse,
    )
    assert str(failed.error) == "node alpha: no room"
    assert ("no room" in capsys.readouterr().err) is logged


def test_values_in_logs_stay_on_their_line_and_leave_the_terminal_alone(capsys: Captured) -> None:
    (line,) = logged(capsys, LogOptions())
    assert "\x1b" not in line
    assert r"\x1b[2Ja\nb" in line


def test_as_json_each_event_is_one_object(capsys: Captured) -> None:
    (line,) = logged(capsys, LogOptions(as_json=True))
    event = json.loads(line)
    assert (event["event"], event["level"], event["value"]) == ("warning", "warning", "\x1b[2Ja\nb")


def test_a_failed_round_is_logged_beside_the_error(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("--log-json", "stop", "lab", "--timeout", "0.1")
    events = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    assert events[0]["event"] == "round_failed"
    assert events[0]["cluster"] == "lab"
