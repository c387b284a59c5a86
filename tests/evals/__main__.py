"""`python -m tests.evals list`, or `run TASK` with an agent; `relay` is what agents start as their server."""

import argparse
import asyncio
import os
import shlex
import sys
import tempfile
from pathlib import Path

from tests.evals.builds import three_builds
from tests.evals.relay import relay
from tests.evals.run import Agent, attempt, by_hand, external, prepare, scripted
from tests.evals.task import all_tasks
from tests.evals.world import SERVER, World

_TOPOLOGY = Path(__file__).parent / "evals.yaml"


def main() -> int:
    """The exit code: 0 if the task was solved, 1 if it was not."""
    words = _parser().parse_args()
    match words.verb:
        case "list":
            for task in all_tasks().values():
                print(f"{task.name:20} {task.title} (scripted: at most {task.most_calls} calls)")
            return 0
        case "relay":
            return asyncio.run(relay(words.record, words.server))
        case _:
            return asyncio.run(_run(words))


async def _run(words: argparse.Namespace) -> int:
    task = all_tasks()[words.task]
    with tempfile.TemporaryDirectory(prefix="vmcluster-eval-") as name:
        directory = words.directory or Path(name)
        directory.chmod(0o755)
        server = tuple(shlex.split(words.server_command)) if words.server_command else SERVER
        builds = await asyncio.to_thread(three_builds, words.image_dir, directory / "builds") if task.builds else ()
        world = World(words.cluster, directory, dict(os.environ), server, words.libvirt_uri, builds)
        await prepare(world)
        outcome = await attempt(task, world, _agent(words))
    print(outcome.as_json())
    return 1 if outcome.problems else 0


def _agent(words: argparse.Namespace) -> Agent:
    if words.scripted:
        return scripted
    return external(words.agent) if words.agent else by_hand


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.evals", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="list the tasks")
    run = verbs.add_parser("run", help="try a task with an agent, and print what it took as JSON")
    run.add_argument("task", choices=sorted(all_tasks()))
    run.add_argument("--server-command", help="the MCP server to measure (default: this checkout's)")
    run.add_argument("--cluster", default=_TOPOLOGY.stem, help="a cluster of nodes n0, n1, n2 (default: %(default)s)")
    run.add_argument("--directory", type=Path, help="where the record and the builds are kept (default: not kept)")
    run.add_argument("--image-dir", type=Path, default=Path("/var/lib/vmcluster/images"), help="of the guest image")
    run.add_argument("--libvirt-uri", default="qemu:///system")
    run.add_argument("--scripted", action="store_true", help="use the scripted solution as the agent")
    run.add_argument("agent", nargs="*", help="the agent's command, after --; without one you are the agent")
    between = verbs.add_parser("relay", help="record what passes between a client and a server")
    between.add_argument("record", type=Path)
    between.add_argument("server", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main())
