"""The results of checking a host and repairing it."""

from enum import StrEnum

from pydantic import Field

from reconciler.model.abridging import Abridgeable
from reconciler.model.base import Frozen
from reconciler.model.message_text import MessageText


class CheckOutcome(StrEnum):
    """How a check ended: a warning costs a feature or speed, a failure keeps clusters from running."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class CheckResult(Frozen):
    """One need of the host: whether it is met and, if not, what to do.

    `fixable` says that `vmcluster doctor --fix` has a safe repair, for which it may have to run as root.
    """

    name: str = Field(description="What is needed.")
    verdict: CheckOutcome = Field(
        description="`warning` costs a feature or speed, `failed` keeps clusters from running."
    )
    message: str = Field(description="What was found.")
    remedy: MessageText | None = Field(default=None, description="What to do; null if there is nothing to do.")
    fixable: bool = Field(default=False, description="`vmcluster doctor --fix` has a safe repair.")


class Repair(Frozen):
    """A problem that was repaired, or could not be."""

    name: str = Field(description="What was repaired.")
    message: str = Field(description="What was done, or why it could not be done.")
    done: bool = Field(default=True, description="Whether it was done.")


class Examination(Abridgeable):
    """The checks of a host, after any repairs."""

    checks: tuple[CheckResult, ...] = Field(description="In the order in which to fix what they find.")
    repairs: tuple[Repair, ...] = Field(
        default=(), description="What was repaired, or could not be; empty without `--fix`."
    )

    @property
    def failures(self) -> int:
        """How many failures keep clusters from running."""
        return sum(check.verdict is CheckOutcome.FAILED for check in self.checks)

    @property
    def fixable(self) -> int:
        """How many findings can be repaired safely."""
        return sum(check.fixable and check.verdict is not CheckOutcome.OK for check in self.checks)


class MissingPackages(Frozen):
    """What is to be installed on a host: the commands for root, and whether no cluster can run without it.

    `runs_here` says that this process can run the commands itself.
    """

    commands: tuple[str, ...] = ()
    essential: bool = False
    runs_here: bool = False


def ok(name: str, message: str) -> CheckResult:
    """The need is met."""
    return CheckResult(name=name, verdict=CheckOutcome.OK, message=message)


def warning(name: str, message: str, remedy: str) -> CheckResult:
    """Clusters run, but slower or without a feature."""
    return CheckResult(name=name, verdict=CheckOutcome.WARNING, message=message, remedy=remedy)


def failed(name: str, message: str, remedy: str, *, fixable: bool = False) -> CheckResult:
    """No cluster can run like this."""
    return CheckResult(name=name, verdict=CheckOutcome.FAILED, message=message, remedy=remedy, fixable=fixable)
