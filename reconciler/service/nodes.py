"""Commands inside the nodes."""

from collections.abc import Iterable, Mapping

from reconciler.errors import ClusterError, PartialFailure, SshError, SshTimeout
from reconciler.guest.address import GuestAddress
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecAllResult, ExecResult, ToolError
from reconciler.service.access import addresses, existing, select_nodes
from reconciler.service.inspection import Inspection
from reconciler.service.runtime import Runtime


class Nodes:
    """The verbs that run commands in guests. They go through SSH at once: running a command is no desired state."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inspection = Inspection(runtime)

    async def address(self, cluster: str, node: str) -> GuestAddress:
        """How to log in to one node."""
        record = await existing(self._runtime.store, cluster)
        (address,) = addresses(record, select_nodes(record, [node]))
        return address

    async def run(
        self,
        cluster: str,
        node: str,
        command: str,
        *,
        timeout_s: float = 30.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> ExecResult:
        """Run one shell command on one node; a non-zero exit is a result.

        Raises `ClusterNotRunning` where the node is not up, `SshTimeout` where it is but takes no login in time.
        """
        record = await existing(self._runtime.store, cluster)
        (address,) = addresses(record, select_nodes(record, [node]))
        try:
            return await self._runtime.ssh.run(address, command, timeout_s=timeout_s, env=env, stdin=stdin)
        except (SshTimeout, SshError):
            await self._inspection.require_running(record, [node])
            raise

    async def run_all(
        self,
        cluster: str,
        command: str,
        *,
        nodes: str | Iterable[str] | None = None,
        require_all: bool = True,
        timeout_s: float = 30.0,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> ExecAllResult:
        """Run the same command on many nodes at once.

        With `require_all`, nodes that could not be asked are a `PartialFailure` that carries the others' results;
        without it they are listed in `errors`. A non-zero exit is a result in both cases.
        """
        record = await existing(self._runtime.store, cluster)
        names = select_nodes(record, nodes)
        answers = await self._runtime.ssh.run_all(
            addresses(record, names), command, timeout_s=timeout_s, env=env, stdin=stdin
        )
        result = _collect(answers)
        if require_all and result.errors:
            await self._raise_incomplete(record, result)
        return result

    async def _raise_incomplete(self, record: ClusterRecord, result: ExecAllResult) -> None:
        await self._inspection.require_running(record, list(result.errors))
        causes = "; ".join(f"{node}: {error.message}" for node, error in result.errors.items())
        asked = len(result.errors) + len(result.results)
        failure = PartialFailure(
            f"the command did not run on {len(result.errors)} of {asked} nodes: {causes}",
            node=next(iter(result.errors)) if len(result.errors) == 1 else None,
        )
        failure.partial = result
        raise failure


def _collect(answers: Mapping[str, ExecResult | ClusterError]) -> ExecAllResult:
    results = {node: answer for node, answer in answers.items() if isinstance(answer, ExecResult)}
    errors = {node: ToolError.of(answer) for node, answer in answers.items() if isinstance(answer, ClusterError)}
    failed = [node for node in answers if node in errors or results[node].exit_code != 0 or results[node].timed_out]
    return ExecAllResult(results=results, all_succeeded=not failed, failed_nodes=tuple(failed), errors=errors)
