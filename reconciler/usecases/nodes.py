"""Commands inside the nodes."""

from collections.abc import Iterable, Mapping

from reconciler.errors import ClusterError
from reconciler.guest.address import GuestAddress
from reconciler.guest.command import OnOutput
from reconciler.guest.pool import DEFAULT_OUTPUT_LIMIT_BYTES
from reconciler.guest.pooled_connections import NoLogin
from reconciler.health.kernels_heard import KernelsHeard
from reconciler.health.node_failures import partial_failure
from reconciler.health.node_state import NodeState, not_running
from reconciler.model.record import ClusterRecord
from reconciler.model.results import ExecAllResult, ExecResult, ToolError
from reconciler.records.node_addresses import addresses
from reconciler.records.stored_records import existing, select_node, select_nodes
from reconciler.runtime import Runtime
from reconciler.usecases.inspection import Inspection

_EXEC_ALL = "to run a command on all nodes, use `node_exec_all`"


class Nodes:
    """Runs commands in guests. They run over SSH immediately: running a command is not desired state."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inspection = Inspection(runtime)

    async def address(self, cluster: str, node: str) -> GuestAddress:
        """How to log in to one node."""
        record = await existing(self._runtime.store, cluster)
        (address,) = await addresses(self._runtime, record, [select_node(record, node)])
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
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
        output_limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES,
    ) -> ExecResult:
        """Run a shell command on one node; a non-zero exit is a result.

        Of longer output the beginning and end are kept, `output_limit_bytes` of each stream. Output that is passed to a
        callback is not in the result. Raises `ClusterNotRunning` if the node is not up, and `SshTimeout` if it is up
        but accepts no login in time.
        """
        record = await existing(self._runtime.store, cluster)
        (address,) = await addresses(self._runtime, record, [select_node(record, node, all_with=_EXEC_ALL)])
        if down := await self._down(record, [address]):
            raise not_running(cluster, down)
        kernels = await KernelsHeard.from_now(record, [address.node])
        try:
            answer = await self._runtime.ssh.run(
                address,
                command,
                timeout_s=timeout_s,
                env=env,
                stdin=stdin,
                on_stdout=on_stdout,
                on_stderr=on_stderr,
                output_limit_bytes=output_limit_bytes,
            )
        except ClusterError as error:
            told = error if isinstance(error, NoLogin) else await kernels.explained(error, address.node)
            said = (await self._inspection.explained(record, {address.node: told}))[address.node]
            raise said from error.__cause__ if said is error else error
        return (await kernels.beside({address.node: answer}))[address.node]

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
        output_limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES,
    ) -> ExecAllResult:
        """Run the same command on many nodes in parallel.

        With `require_all`, nodes that could not be reached raise a `PartialFailure` that carries the others' results;
        without it they are listed in `errors`. A non-zero exit is a result in both cases.
        """
        record = await existing(self._runtime.store, cluster)
        targets = await addresses(self._runtime, record, select_nodes(record, nodes))
        down = await self._down(record, targets)
        if down and require_all:
            raise not_running(record.cluster_name, down)
        answers: dict[str, ExecResult | ClusterError] = {
            node: not_running(record.cluster_name, {node: state}) for node, state in down.items()
        }
        asked = [address for address in targets if address.node not in down]
        kernels = await KernelsHeard.from_now(record, [address.node for address in asked])
        heard = await kernels.beside(
            await self._runtime.ssh.run_all(
                asked, command, timeout_s=timeout_s, env=env, stdin=stdin, output_limit_bytes=output_limit_bytes
            )
        )
        failed = {node: answer for node, answer in heard.items() if isinstance(answer, ClusterError)}
        answers |= {**heard, **await self._inspection.explained(record, failed)}
        result = _collect(answers)
        if require_all and result.errors:
            raise partial_failure("the command did not run", result.errors, len(answers), result)
        return result

    async def _down(self, record: ClusterRecord, targets: list[GuestAddress]) -> dict[str, NodeState]:
        """The nodes that do not run. Open connections need no check."""
        if all(self._runtime.ssh.is_connected(address) for address in targets):
            return {}
        return await self._inspection.known_down(record, [address.node for address in targets])


def _collect(answers: Mapping[str, ExecResult | ClusterError]) -> ExecAllResult:
    results = {node: answer for node, answer in answers.items() if isinstance(answer, ExecResult)}
    errors = {node: ToolError.of(answer) for node, answer in answers.items() if isinstance(answer, ClusterError)}
    failed = [node for node in answers if node in errors or results[node].exit_code != 0 or results[node].timed_out]
    return ExecAllResult(results=results, all_succeeded=not failed, failed_nodes=tuple(failed), errors=errors)
