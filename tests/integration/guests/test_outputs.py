"""What commands print for programs, on a cluster that runs: each as its own JSON Schema has it."""

import asyncio
from pathlib import Path
from typing import Any

from reconciler.frontends.output_schemas import output_types
from tests import outputs
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session
from tests.integration.cli.conftest import COMMAND
from tests.integration.guests.conftest import FRESH
from tests.unit.artifacts.samples import module

ELSEWHERE = {
    "adopt",
    "destroy",
    "image-build",
    "fork",
    "image-pull",
    "image-rm",
    "template-rm",
    "artifact-install",
    "artifact-uninstall",
    "fault-impair",
    "error",
    "event",
    *(f"host-{verb}" for verb in ("show", "cordon", "uncordon", "drain", "forget")),
}
"""What would take the cluster away, or its time, or needs more than it or every host has: other hosts, a server."""


def command_lines(directory: Path, state_dir: Path) -> list[list[str]]:
    """One of every other command, in an order in which each finds what it needs."""
    for name in ("a", "b"):
        (directory / name).mkdir()
        (directory / name / "mod.ko").write_bytes(module(payload=name.encode()))
    there = f"/run/{directory.name}"
    lines = f"""
        version ; list ; status {CLUSTER} ; handle {CLUSTER} ; history {CLUSTER} ; events {CLUSTER} ; doctor
        validate {CLUSTER} ; plan {CLUSTER} ; apply {CLUSTER} --no-wait ; wait {CLUSTER} --for Running
        exec {CLUSTER} n0 -- true ; exec {CLUSTER} --all -- true
        dmesg mark {CLUSTER} ; dmesg collect {CLUSTER} ; console {CLUSTER} n0 ; logs {CLUSTER} n0
        push {CLUSTER} {directory}/a/mod.ko {there} ; pull {CLUSTER} n0 {there} {directory}/back
        snapshot create {CLUSTER} of-disks ; snapshot list {CLUSTER} ; snapshot show {CLUSTER} of-disks
        snapshot tree {CLUSTER} ; snapshot verify {CLUSTER} ; snapshot gc {CLUSTER} --dry-run
        snapshot delete {CLUSTER} of-disks ; rollback {CLUSTER} --to 1 --dry-run
        fault partition {CLUSTER} n0 n1 ; fault list {CLUSTER}
        fault explain {CLUSTER} n0 n1 ; fault verify {CLUSTER} n0 n2 --count 3 ; fault heal {CLUSTER} --all
        artifact register {directory}/a --kernel 6.1.0 ; artifact register {directory}/b --kernel 6.1.0
        image list ; image info base ; top {CLUSTER}
        topology list ; topology show {CLUSTER} ; host list ; template build {CLUSTER} ; template list ; template verify
        job start {CLUSTER} n0 -- true ; job status {CLUSTER}
        artifact list ; store copy {state_dir} {directory}/store
        stop {CLUSTER} n2 --mode destroy ; start {CLUSTER} n2 --no-wait ; crash {CLUSTER} n2 --no-wait
        restart {CLUSTER} n2 --mode destroy --no-wait ; snapshot revert {CLUSTER} {FRESH} --yes --no-wait
    """
    return [line.split() for line in lines.replace("\n", ";").split(";") if line.strip()]


async def test_every_command_prints_what_its_schema_says(trio: Session, guest_bed: Bed, tmp_path: Path) -> None:
    async def printed(*words: str) -> Any:
        place = words.index("--") if "--" in words else len(words)
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words[:place],
            "-o",
            "json",
            *words[place:],
            env=guest_bed.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert out, err.decode()
        return outputs.read(words, 0, out.decode())

    seen = set()
    registered = []
    for words in command_lines(tmp_path, guest_bed.settings.state_dir):
        said = await printed(*words)
        seen.add(outputs.command_of(words))
        if words[:2] == ["artifact", "register"]:
            registered.append(said["artifact_id"])
        if words[:2] == ["job", "start"]:
            for verb in ("output", "stop"):
                await printed("job", verb, CLUSTER, said["job_id"])
                seen.add(f"job-{verb}")
    one, other = registered
    for words in (["show", one], ["diff", one, other], ["sync", CLUSTER, one, "--node", "n0"], ["remove", other]):
        await printed("artifact", *words)
        seen.add(outputs.command_of(["artifact", *words]))
    assert seen == output_types().keys() - ELSEWHERE
