"""The unit file under a real systemd: that of a guest, which has no libvirt to be reached."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Session
from tests.integration.guests.service_kit import PLACE, misfit, write_kit

UNIT = Path(__file__).parents[3] / "specs" / "systemd" / "vmcluster.service"
METRICS_PORT = 9177
WATCHDOG_S = 4
DROP_IN = f"""\
[Service]
Environment=LD_LIBRARY_PATH={PLACE}/lib VMCLUSTER_METRICS_PORT={METRICS_PORT}
WatchdogSec={WATCHDOG_S}
"""
PATIENCE_S = 150.0
"""The guest is emulated: what takes a second elsewhere takes ten in it, and a minute on a busy host."""

pytestmark = pytest.mark.skipif(misfit() is not None, reason=misfit() or "")


@dataclass(frozen=True)
class Unit:
    """The unit on a node."""

    session: Session
    node: str = "n0"

    async def run(self, command: str) -> str:
        """Run it on the node; it must not fail."""
        answer = await self.session.nodes.run(CLUSTER, self.node, command, timeout_s=PATIENCE_S)
        assert answer.exit_code == 0, answer
        return answer.stdout

    async def install(self, tmp_path: Path) -> None:
        """Put the service and its unit there."""
        present = await self.run("ldconfig -p | awk '{print $1}'")
        await asyncio.to_thread(write_kit, tmp_path / "kit", present.split())
        (tmp_path / "drop-in").write_text(DROP_IN)
        system = "/etc/systemd/system/vmcluster.service"
        for source, target in (
            (tmp_path / "kit", "/root/kit"),
            (UNIT, system),
            (tmp_path / "drop-in", "/root/drop-in"),
        ):
            await self.session.transfers.push(CLUSTER, source, target, nodes=[self.node])
        await self.run(
            f"mkdir -p {PLACE} {system}.d; mv /root/drop-in {system}.d/test.conf; tar -C {PLACE} -xf /root/kit"
        )
        await self.run(f"ln -s {PLACE}/vmcluster /usr/local/bin/; systemctl daemon-reload")

    async def shown(self) -> dict[str, str]:
        """What systemd knows of it."""
        lines = (await self.run("systemctl show vmcluster")).splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    async def becomes(self, **wanted: str) -> dict[str, str]:
        """Wait until systemd says so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            shown = await self.shown()
            if wanted.items() <= shown.items():
                return shown
            assert time.monotonic() < deadline, {name: shown.get(name) for name in wanted}
            await asyncio.sleep(0.5)

    async def logged(self) -> list[dict[str, object]]:
        """What the service itself logged, each line of which must be JSON, but for its word on a signal."""
        lines = (await self.run("journalctl -u vmcluster -o cat _COMM=vmcluster")).splitlines()
        return [json.loads(line) for line in lines if not line.startswith("SIGTERM: ")]


async def test_systemd_starts_watches_restarts_and_ends_the_service(trio: Session, tmp_path: Path) -> None:
    unit = Unit(trio)
    await unit.install(tmp_path)
    await unit.run("systemctl start vmcluster")  # with Type=notify it returns when the service has said READY=1
    shown = await unit.shown()
    assert (shown["ActiveState"], shown["SubState"]) == ("active", "running")
    assert shown["StatusText"] == "no cluster was observed yet"
    events = {str(entry["event"]): entry for entry in await unit.logged()}
    assert "Failed to connect socket" in str(events["guests_not_followed_yet"]["cause"])
    assert events["watching"]["metrics_port"] == METRICS_PORT
    look = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics').read().decode())"
    assert "vmcluster_" in await unit.run(f'python3 -c "{look}"')

    # Longer than the watchdog waits: it is fed, and libvirt's absence is no reason to end.
    await asyncio.sleep(2 * WATCHDOG_S)
    shown = await unit.becomes(ActiveState="active", NRestarts="0")
    await unit.run(f"kill -STOP {shown['MainPID']}")
    again = await unit.becomes(ActiveState="active", NRestarts="1")
    assert again["MainPID"] != shown["MainPID"]
    assert "Watchdog timeout" in await unit.run("journalctl -u vmcluster -o cat _PID=1")

    began = time.monotonic()
    await unit.run("systemctl stop vmcluster")
    print(f"stopped in {time.monotonic() - began:.1f} s")
    ended = await unit.shown()
    assert (ended["ActiveState"], ended["Result"], ended["ExecMainStatus"]) == ("inactive", "success", "0")
    assert (await unit.logged())[-1]["event"] == "ended"
