"""Nodes whose user has csh as login shell, and nodes in which nothing can be started."""

import asyncio
import shutil
from pathlib import Path

from reconciler.errors import SshTimeout
from reconciler.model.results import ExecResult
from tests.guest_kernel.fetch import guest_release, kit_dir
from tests.integration.bed import BASE_IMAGE, Session
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.waiting import BOOT_TIMEOUT_S, PATIENCE_S

_FORK_BOMB = "bomb() { bomb | bomb & }; bomb; sleep 1000; true"


async def said(session: Session, node: str, command: str) -> str:
    done = await session.nodes.run(CLUSTER, node, command, timeout_s=PATIENCE_S)
    assert done.exit_code == 0, done.stderr
    return done.stdout


async def test_everything_works_on_a_node_whose_login_shell_is_csh(trio: Session, tmp_path: Path) -> None:
    kit = kit_dir(BASE_IMAGE.parent, guest_release(BASE_IMAGE.parent))
    (package,) = (kit / "packages").glob("tcsh_*.deb")
    shutil.copy(package, tmp_path / "tcsh.deb")
    await trio.transfers.push(CLUSTER, tmp_path / "tcsh.deb", "/root/tcsh.deb", nodes=["n0"])
    await said(trio, "n0", "dpkg -i /root/tcsh.deb && usermod -s /bin/tcsh root && echo 'echo noise' >/root/.tcshrc")
    trio.runtime.ssh.drop(CLUSTER, "n0")  # a login of its own has the new shell

    for _ in range(2):
        command = 'x="it\'s $0"; echo $x >&2; for i in 1 2; do echo $i; done; [ -e 2 ] || echo "${SHELL##*/}"'
        done = await trio.nodes.run(CLUSTER, "n0", command, timeout_s=PATIENCE_S)
        assert (done.exit_code, done.stdout) == (0, "1\n2\ntcsh\n"), done
    status = {of.name: of for of in (await trio.inspection.status(CLUSTER)).nodes}
    assert (status["n0"].ssh_reachable, bool(status["n0"].loaded_modules)) == (True, True)
    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    log = await trio.kernel_logs.collect(CLUSTER, since_marker=marker)
    assert {node: of.source for node, of in log.items()} == dict.fromkeys(log, "kmsg")
    await trio.transfers.pull(CLUSTER, "n0", "/root/.tcshrc", tmp_path / "tcshrc")
    assert (tmp_path / "tcshrc").read_text() == "echo noise\n"


async def test_a_fork_bomb_ends_with_the_time_of_the_command_or_says_that_nothing_confirms_it(trio: Session) -> None:
    run = trio.nodes.run(CLUSTER, "n1", _FORK_BOMB, timeout_s=10.0)
    (outcome,) = await asyncio.gather(asyncio.wait_for(run, PATIENCE_S), return_exceptions=True)
    if isinstance(outcome, ExecResult):
        assert outcome.timed_out
    else:
        assert isinstance(outcome, SshTimeout), outcome
        assert "timed out" in outcome.message
    await trio.clusters.crash(CLUSTER, "n1", ssh_timeout_s=BOOT_TIMEOUT_S)
    assert await said(trio, "n1", "echo back") == "back\n"
