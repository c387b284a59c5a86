"""Samples of tc: what it shows after each of a row of batches, in a guest, whose kernel has netem.

The program is the host's, brought into the guest with its libraries: what is asked is what this release prints.
"""

import io
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.host.tc.tap_codec import parse_tap, render_batch
from reconciler.model.links import Impairment, TapQdisc
from tests.golden_samples import UNIT_TESTS, Sample
from tests.integration.bed import Session, temporary_bed

GOLDEN = UNIT_TESTS / "tc" / "golden"
CLUSTER = "golden"
_TAP = "tapa"
_TOOLS = "/opt/tools"
_LOADER = "ld-linux-x86-64.so.2"
_TIMEOUT_S = 300.0


async def take() -> Sample:
    """The steps of the samples that are there, with this host's tc."""
    with temporary_bed() as bed:
        bed.write_topology(CLUSTER, nodes=1, boots=True)
        async with bed.runtime() as runtime:
            session = Session(runtime)
            await session.clusters.apply(CLUSTER, timeout_s=_TIMEOUT_S)
            address = await session.nodes.address(CLUSTER, "n0")
            sample = await _Guest(runtime.ssh, address).take(_wanted_steps())
            await session.clusters.destroy(CLUSTER, remove_overlays=True)
    return sample


class _Guest:
    """The guest that tc runs in."""

    def __init__(self, pool: SshPool, address: GuestAddress) -> None:
        self._pool = pool
        self._address = address

    async def take(self, steps: list[TapQdisc]) -> Sample:
        await self._run(f"mkdir -p {_TOOLS} && tar -x -C {_TOOLS}", _tools())
        await self._run(f"ip link add {_TAP} type veth peer name tapb && ip link set {_TAP} up")
        await self._tc("qdisc", "replace", "dev", _TAP, "root", "noqueue")
        taken = []
        tree = parse_tap(json.dumps((await self._shown())["qdiscs"]), "", "")
        for wanted in steps:
            batch = render_batch(_TAP, tree, wanted)
            await self._tc("-batch", "-", stdin=batch)
            shown = await self._shown()
            tree = parse_tap(json.dumps(shown["qdiscs"]), "\n".join(shown["classes"]), "\n".join(shown["filters"]))
            senders = {mac: impairment.model_dump(mode="json") for mac, impairment in wanted.senders.items()}
            taken.append({"wanted": senders, "batch": batch.splitlines(), **shown})
        (version,) = re.findall(r"iproute2-([0-9.]+)", await self._tc("-V"))
        kernel = ".".join((await self._run("uname -r")).split(".")[:2])
        return Sample(GOLDEN / f"steps.iproute2-{version}.linux-{kernel}.json", json.dumps(taken, indent=1) + "\n")

    async def _shown(self) -> dict[str, Any]:
        return {
            "qdiscs": json.loads(await self._tc("-j", "qdisc", "show", "dev", _TAP)),
            "classes": (await self._tc("class", "show", "dev", _TAP)).splitlines(),
            "filters": (await self._tc("filter", "show", "dev", _TAP)).splitlines(),
        }

    async def _tc(self, *arguments: str, stdin: str = "") -> str:
        program = [f"{_TOOLS}/{_LOADER}", "--library-path", _TOOLS, f"{_TOOLS}/tc"]
        return await self._run(shlex.join([*program, *arguments]), stdin.encode())

    async def _run(self, command: str, stdin: bytes = b"") -> str:
        done = await self._pool.run(self._address, command, timeout_s=60, stdin=stdin, output_limit_bytes=1 << 20)
        assert done.exit_code == 0, f"{command}: {done.stderr}"
        return done.stdout


def _wanted_steps() -> list[TapQdisc]:
    (oldest, *_) = sorted(GOLDEN.glob("steps.*.json"))
    return [
        TapQdisc({mac: Impairment(**values) for mac, values in step["wanted"].items()})
        for step in json.loads(oldest.read_text())
    ]


def _tools() -> bytes:
    """tc and the libraries that it is linked with, as a tar archive."""
    program = shutil.which("tc")
    assert program is not None
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    paths = [Path(program), *map(Path, re.findall(r"(/\S+) \(", linked))]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in paths:
            archive.add(path.resolve(), arcname=path.name)
    return content.getvalue()
