"""What a node tells of its cloud-init, by real shells, and how it is understood."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.guest.cloud_init_progress import (
    PROVISIONING_COMMAND,
    REPORT_PATHS,
    CloudInitStage,
    Provisioning,
    parse_provisioning,
)
from reconciler.guest.printed_files import parse_printed
from tests.waiting import PATIENCE_S

STAGES = ("init-local", "init", "modules-config", "modules-final")
BEGAN, ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 5, 6, tzinfo=UTC)
RUN_PARTS = "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))"


def status(at_work: str | None = None, **changed: Any) -> str:
    """A status as cloud-init 22.4 writes it; later stages than that at work have not begun."""
    began = STAGES.index(at_work) if at_work else len(STAGES)
    stages: dict[str, Any] = {
        name: {
            "errors": [],
            "start": BEGAN.timestamp() + number + 0.5 if number <= began else None,
            "finished": ENDED.timestamp() + number - 2.5 if number < began else None,
        }
        for number, name in enumerate(STAGES)
    }
    for name, fields in changed.items():
        stages[name.replace("_", "-")] |= fields
    return json.dumps({"v1": {"datasource": "DataSourceNoCloud", "stage": at_work, **stages}}, indent=1)


def result(*errors: str, datasource: str | None = "DataSourceNoCloud [seed=/dev/vdb][dsmode=net]") -> str:
    return json.dumps({"v1": {"datasource": datasource, "errors": errors}}, indent=1)


def understood(*, there: str = "result.json status.json", result: str = "", status: str = "") -> Provisioning:
    return parse_provisioning({"": f"there: {there}\n", **dict(zip(REPORT_PATHS, (result, status), strict=True))})


def test_a_node_is_done_when_the_result_is_there_since_its_last_stage_ended() -> None:
    assert understood(result=result(), status=status()) == Provisioning(CloudInitStage.DONE, "", ENDED)
    trimmed = status("init")  # an image whose final stage has nothing to do and only writes the result
    assert understood(result=result(datasource=None), status=trimmed).stage is CloudInitStage.DONE


def test_a_node_without_a_result_is_at_work_since_the_first_stage() -> None:
    found = understood(there="status.json enabled", status=status("modules-final"))
    assert found == Provisioning(CloudInitStage.RUNNING, "cloud-init still runs (stage modules-final)", BEGAN)
    assert understood(there="enabled").stage is CloudInitStage.RUNNING


@pytest.mark.parametrize("ended", [True, False])
def test_an_error_of_any_stage_is_a_failure_at_once_since_the_first_stage_and_is_told_once(ended: bool) -> None:
    seen = status("modules-final", modules_config={"errors": [RUN_PARTS]})
    found = understood(result=result(RUN_PARTS), status=seen) if ended else understood(there="status.json", status=seen)
    assert found == Provisioning(CloudInitStage.FAILED, RUN_PARTS, BEGAN)


def test_warnings_that_are_recoverable_are_failures_but_for_what_is_only_deprecated() -> None:
    old = {"recoverable_errors": {"DEPRECATED": ["Key 'x' is deprecated"]}}
    assert understood(result=result(), status=status(init=old)).stage is CloudInitStage.DONE
    bad = {"recoverable_errors": {"WARNING": ["Unhandled non-multipart userdata"], **old["recoverable_errors"]}}
    found = understood(result=result(), status=status(init=bad))
    assert (found.stage, found.message) == (CloudInitStage.FAILED, "Unhandled non-multipart userdata")


def test_a_node_that_has_found_no_seed_is_not_provisioned() -> None:
    found = understood(result=result(datasource="DataSourceNone"), status=status())
    assert (found.stage, found.message) == (CloudInitStage.FAILED, "it found no seed")


@pytest.mark.parametrize(
    ("there", "stage"),
    [("", CloudInitStage.ABSENT), ("disabled", CloudInitStage.DISABLED), ("closed", CloudInitStage.UNKNOWN)],
)
def test_a_node_without_reports_has_no_cloud_init_or_hides_it(there: str, stage: CloudInitStage) -> None:
    assert understood(there=there).stage is stage
    assert understood(there=there).message


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{",
        "null",
        "[" * 100_000,
        '{"v1": ' * 30_000,
        "9" * 5_000,
        '{"v1": []}',
        '{"v1": {"init": {"errors": "text"}}}',
        '{"v1": {"init": {"errors": {"a": 1}}}}',
        '{"v1": {"init": {"recoverable_errors": ["a"]}}}',
        '{"v1": {"init": {"recoverable_errors": {"WARNING": 1}}}}',
    ],
)
def test_what_is_no_report_is_unknown(nonsense: str) -> None:
    for found in (
        understood(there="status.json", status=nonsense),
        understood(result=nonsense, status=nonsense),
    ):
        assert found.stage is CloudInitStage.UNKNOWN
        assert len(found.message) < 400
    assert parse_provisioning(parse_printed(nonsense)).stage is CloudInitStage.UNKNOWN


def test_what_a_guest_says_is_shown_short_and_printable_and_its_clock_is_not_trusted() -> None:
    loud = "\x1b[2Jboom\n" + "x" * 100_000
    stages = {"init": {"start": float("inf"), "finished": 1e300, "errors": [loud, *map(str, range(10_000))]}}
    found = understood(there="status.json", status=json.dumps({"v1": {"stage": 7, **stages}}))
    assert (found.stage, found.since) == (CloudInitStage.FAILED, None)
    assert found.message.startswith("[2Jboom xxx")
    assert found.message.endswith("; 9998 more")
    assert found.message.isprintable()
    assert len(found.message) < 700


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_every_shell_tells_the_same_of_the_files_and_goes_on(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")

    def seen() -> Provisioning:
        command = PROVISIONING_COMMAND.replace("/run/cloud-init", str(tmp_path / "run"))
        command = command.replace("/etc/cloud", str(tmp_path / "etc")) + "\necho more"
        ran = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
        assert ran.stderr == ""
        assert ran.stdout.endswith("more\n")
        here = ran.stdout.removesuffix("more\n").replace(str(tmp_path / "run"), "/run/cloud-init")
        return parse_provisioning(parse_printed(here))

    assert seen().stage is CloudInitStage.ABSENT
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "cloud-init.disabled").touch()
    assert seen().stage is CloudInitStage.DISABLED
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "status.json").write_text(status("init"))
    assert seen() == Provisioning(CloudInitStage.RUNNING, "cloud-init still runs (stage init)", BEGAN)
    (tmp_path / "run" / "result.json").write_text(result(r"back\slash \n 'quote' $HOME"))
    assert seen() == Provisioning(CloudInitStage.FAILED, r"back\slash \n 'quote' $HOME", BEGAN)
