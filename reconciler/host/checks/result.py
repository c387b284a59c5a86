"""What a check says, and what a repair did."""

from enum import StrEnum

from reconciler.model.base import Frozen


class Verdict(StrEnum):
    """How a check ended: a warning costs a feature or speed, a failure keeps clusters from running."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class CheckResult(Frozen):
    """One need of the host: whether it is met and, where it is not, what to do.

    `fixable` says that `vmcluster doctor --fix` knows a safe repair, for which it may have to run as root.
    """

    name: str
    verdict: Verdict
    message: str
    remedy: str | None = None
    fixable: bool = False


class Repair(Frozen):
    """Something that was put right, or could not be."""

    name: str
    message: str
    done: bool = True


def ok(name: str, message: str) -> CheckResult:
    """The need is met."""
    return CheckResult(name=name, verdict=Verdict.OK, message=message)


def warning(name: str, message: str, remedy: str, *, fixable: bool = False) -> CheckResult:
    """Clusters run, but slower or without a feature."""
    return CheckResult(name=name, verdict=Verdict.WARNING, message=message, remedy=remedy, fixable=fixable)


def failed(name: str, message: str, remedy: str, *, fixable: bool = False) -> CheckResult:
    """No cluster runs like this."""
    return CheckResult(name=name, verdict=Verdict.FAILED, message=message, remedy=remedy, fixable=fixable)
