"""A task: what an agent is told, how the cluster is when it begins, and what it may take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Baseline:
    """What an agent needed before answers were made for models; `source` says what its `bytes` count."""

    source: str
    calls: int
    bytes: int


@dataclass(frozen=True)
class Task:
    """One task. `goal` and `start` have `{cluster}` and other names of a world in braces.

    `most_calls` is what the scripted solution may need. A task with `builds` gets that many trees of a module.
    `end` removes what a rewind of the cluster does not.
    """

    name: str
    title: str
    goal: str
    check: str
    most_calls: int
    start: tuple[dict[str, Any], ...] = ()
    end: tuple[dict[str, Any], ...] = ()
    builds: int = 0
    baseline: Baseline | None = None

    @classmethod
    def read(cls, path: Path) -> "Task":
        """The task in a file. Raises `TypeError` for a field that no task has, or that is missing."""
        said = yaml.safe_load(path.read_text())
        baseline = Baseline(**said.pop("baseline")) if "baseline" in said else None
        start, end = (tuple(said.pop(when, ())) for when in ("start", "end"))
        return cls(name=path.stem, baseline=baseline, start=start, end=end, **said)


def all_tasks() -> dict[str, Task]:
    """Every task by its name."""
    return {path.stem: Task.read(path) for path in sorted(_TASKS.glob("*.yaml"))}
