"""What the page may do to a cluster: each action with its arguments, and the use case that carries it out."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from reconciler.errors import InvalidArgument
from reconciler.model.base import Frozen
from reconciler.model.faults import Groups, PartitionRequest
from reconciler.usecases.application import UseCases

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class StartAction(Frozen):
    """Start nodes, by default all."""

    nodes: tuple[_Name, ...] | None = None


class CrashAction(Frozen):
    """Cut a node's power and boot it again."""

    node: _Name


class SnapshotAction(Frozen):
    """Take a snapshot."""

    name: _Name
    memory: bool = False


class RevertAction(Frozen):
    """Revert all nodes to a snapshot."""

    name: _Name


class PartitionAction(Frozen):
    """Cut all links between two groups of nodes, for a while or until they are healed."""

    groups: tuple[tuple[_Name, ...], tuple[_Name, ...]]
    duration_s: float | None = None


class HealAction(Frozen):
    """Heal a fault, by default all."""

    fault: _Name | None = None


async def _start(use: UseCases, cluster: str, asked: StartAction) -> str:
    await use.clusters.start(cluster, nodes=asked.nodes, wait_for_ssh=False)
    return "the nodes are starting"


async def _crash(use: UseCases, cluster: str, asked: CrashAction) -> str:
    await use.clusters.crash(cluster, asked.node, wait_for_ssh=False)
    return f"{asked.node} lost its power and boots again"


async def _snapshot(use: UseCases, cluster: str, asked: SnapshotAction) -> str:
    taken = await use.snapshots.create(cluster, asked.name, include_memory=asked.memory)
    return "; ".join([f"snapshot {taken.snapshot_name} was taken", *taken.warnings])


async def _revert(use: UseCases, cluster: str, asked: RevertAction) -> str:
    status = await use.snapshots.revert(cluster, asked.name, wait=False)
    still = ", ".join(status.faults_in_force)
    return f"all nodes are as in {asked.name}" + (f"; still in force: {still}" if still else "")


async def _partition(use: UseCases, cluster: str, asked: PartitionAction) -> str:
    request = PartitionRequest(shape=Groups(groups=asked.groups))
    made = await use.faults.inject(cluster, request, duration_s=asked.duration_s)
    return f"the links are cut: {made.handle_id}"


async def _heal(use: UseCases, cluster: str, asked: HealAction) -> str:
    done = await use.faults.heal_many(cluster, [asked.fault] if asked.fault else None)
    if not done.healed:
        return "there is no fault to heal"
    return "1 fault was healed" if done.healed == 1 else f"{done.healed} faults were healed"


@dataclass(frozen=True, slots=True)
class PageAction:
    """An action: what it needs to know, and what carries it out and answers with what was done."""

    arguments: type[Frozen]
    carry_out: Callable[[UseCases, str, Any], Awaitable[str]]

    def read(self, said: object) -> Frozen:
        """The arguments that a page sent. Raises `InvalidArgument`."""
        try:
            return self.arguments.model_validate(said)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, of['loc'])) or 'arguments'}: {of['msg']}" for of in error.errors())
            raise InvalidArgument(wrong) from error


PAGE_ACTIONS: Mapping[str, PageAction] = {
    "start": PageAction(StartAction, _start),
    "crash": PageAction(CrashAction, _crash),
    "snapshot": PageAction(SnapshotAction, _snapshot),
    "revert": PageAction(RevertAction, _revert),
    "partition": PageAction(PartitionAction, _partition),
    "heal": PageAction(HealAction, _heal),
}
