"""How far cloud-init has come in this boot of a node: the command to run there, and the parser of its output; pure.

Source: cloud-init 22.4 and 24.4. Both files are always replaced whole and removed at the start of each boot;
`result.json` is written last. A stage's `errors` come from modules that failed. Its `recoverable_errors` (from 23.4 on)
are warnings by level; the level DEPRECATED means that everything was done.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from reconciler.guest.guest_answers import PARSE_ERRORS
from reconciler.guest.printed_files import render_printing

OUTPUT_PATH = "/var/log/cloud-init-output.log"

_PLACE = "/run/cloud-init"
_RESULT, _STATUS = "result.json", "status.json"

WHAT_IS_THERE_COMMAND = f"""p=; for f in {_RESULT} {_STATUS} enabled disabled
do if [ -e {_PLACE}/$f ]; then p="$p $f"; fi; done
if [ -e /etc/cloud/cloud-init.disabled ]; then p="$p disabled"; fi
if [ -d {_PLACE} ] && [ ! -x {_PLACE} ]; then p="$p closed"; fi; echo "there:$p"
"""
REPORT_PATHS = (f"{_PLACE}/{_RESULT}", f"{_PLACE}/{_STATUS}")
"""The result is read first: if it exists, the status that is read after it is final."""

PROVISIONING_COMMAND = WHAT_IS_THERE_COMMAND + render_printing(*REPORT_PATHS)

_NO_SOURCE = "DataSourceNone"
_HARMLESS = frozenset({"DEPRECATED", "INFO", "DEBUG"})
_SHOWN_ERRORS = 3
_SHOWN_LENGTH = 200
_LATEST = 253402300799.0
"""The end of the year 9999."""


class CloudInitStage(StrEnum):
    """How far a node is."""

    RUNNING = "CloudInitRunning"
    FAILED = "CloudInitFailed"
    DONE = "CloudInitDone"
    DISABLED = "CloudInitDisabled"
    ABSENT = "NoCloudInit"
    UNKNOWN = "NotObserved"


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What a node reports of its cloud-init; `since` is when it began or succeeded, by the guest's clock."""

    stage: CloudInitStage
    message: str = ""
    since: datetime | None = None


def parse_provisioning(printed: Mapping[str, str]) -> Provisioning:
    """Understand what `PROVISIONING_COMMAND` printed, taken apart. Anything else is unknown."""
    mark, colon, told = printed.get("", "").partition("\n")[0].partition(":")
    if (mark, colon) != ("there", ":"):
        return Provisioning(CloudInitStage.UNKNOWN, "the node's answer is truncated")
    there = frozenset(told.split())
    result, status = (printed.get(path, "") for path in REPORT_PATHS)
    if "closed" in there:
        return Provisioning(CloudInitStage.UNKNOWN, f"{_PLACE} cannot be read by the login user")
    if not there & {_RESULT, _STATUS}:
        return _not_begun(there)
    try:
        ended = _report(_RESULT, result) if _RESULT in there else None
        return _judged(_report(_STATUS, status) if _STATUS in there else {}, ended)
    except PARSE_ERRORS as error:
        return Provisioning(
            CloudInitStage.UNKNOWN, f"what cloud-init reports there cannot be parsed: {on_one_line(str(error))}"
        )


def _not_begun(there: frozenset[str]) -> Provisioning:
    if "disabled" in there:
        return Provisioning(CloudInitStage.DISABLED, "cloud-init is disabled there: nothing is provisioned")
    if "enabled" in there:
        return Provisioning(CloudInitStage.RUNNING, "cloud-init has not started yet")
    return Provisioning(CloudInitStage.ABSENT, "cloud-init has not run since boot: nothing is provisioned")


def _judged(status: Mapping[str, Any], ended: Mapping[str, Any] | None) -> Provisioning:
    stages = {name: of for name, of in status.items() if isinstance(of, dict)}
    began = _moment(min, (of.get("start") for of in stages.values()))
    errors = list(dict.fromkeys([*_texts((ended or {}).get("errors")), *_errors_of(stages)]))
    if ended is not None and ended.get("datasource") == _NO_SOURCE:
        errors.append("it found no seed")
    if errors:
        return Provisioning(CloudInitStage.FAILED, _told(errors), began)
    if ended is None:
        at_work = status.get("stage")
        where = f" (stage {on_one_line(at_work)})" if isinstance(at_work, str) else ""
        return Provisioning(CloudInitStage.RUNNING, f"cloud-init still runs{where}", began)
    return Provisioning(CloudInitStage.DONE, "", _moment(max, (of.get("finished") for of in stages.values())))


def _report(name: str, text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({error})") from None
    report = found.get("v1") if isinstance(found, dict) else None
    if not isinstance(report, dict):
        raise ValueError(f"{name} has no mapping `v1`")
    return report


def _errors_of(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The errors of all stages, those of modules first because they say more."""
    for stage in stages.values():
        yield from _texts(stage.get("errors"))
    for stage in stages.values():
        recoverable = stage.get("recoverable_errors") or {}
        if not isinstance(recoverable, dict):
            raise ValueError("`recoverable_errors` is not a mapping")
        for level, texts in recoverable.items():
            yield from () if level in _HARMLESS else _texts(texts)


def _texts(errors: Any) -> list[str]:
    if not isinstance(errors, list | None):
        raise ValueError("`errors` is not a list")
    return [on_one_line(error if isinstance(error, str) else json.dumps(error)) for error in errors or ()]


def _told(errors: list[str]) -> str:
    more = len(errors) - _SHOWN_ERRORS
    return "; ".join([*errors[:_SHOWN_ERRORS], *([f"{more} more"] if more > 0 else [])])


def _moment(choose: Callable[[list[float]], float], stamps: Iterable[Any]) -> datetime | None:
    usable = [float(at) for at in stamps if type(at) in {int, float} and math.isfinite(at) and 0 < at < _LATEST]
    return datetime.fromtimestamp(choose(usable), UTC).replace(microsecond=0) if usable else None


def on_one_line(text: str) -> str:
    """A guest's text on one line, shortened and printable."""
    cut = text[:_SHOWN_LENGTH] + ("..." if len(text) > _SHOWN_LENGTH else "")
    return " ".join("".join(char if char.isprintable() else " " for char in cut).split())
