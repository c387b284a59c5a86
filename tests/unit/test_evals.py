"""The evals: every task is whole, a relay changes nothing that passes, and a record is measured as it is described."""

import json
import sys
from pathlib import Path

import pytest

from tests.evals.checks import CHECKS
from tests.evals.measure import Measure
from tests.evals.run import external
from tests.evals.solutions import SOLUTIONS
from tests.evals.task import Task, all_tasks
from tests.evals.world import World

TASKS = all_tasks()


def test_every_task_has_a_checker_and_a_solution_and_is_used() -> None:
    assert len(TASKS) >= 10
    assert TASKS.keys() == SOLUTIONS.keys()
    assert {task.check for task in TASKS.values()} == CHECKS.keys()
    assert {name: TASKS[name].most_calls for name in ("sick-cluster", "split-brain", "regression")} == {
        "sick-cluster": 30,
        "split-brain": 24,
        "regression": 55,
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_goal_names_only_what_a_world_has(name: str, tmp_path: Path) -> None:
    goal = TASKS[name].goal.format(**World("lab", tmp_path, builds=(tmp_path / "one",)).names)
    assert "lab" in goal
    assert TASKS[name].title


def recorded(*messages: tuple[str, object]) -> list[str]:
    return [json.dumps({"from": sender, "line": json.dumps(of) + "\n"}) for sender, of in messages]


def test_a_record_is_measured_by_calls_errors_bytes_and_tokens() -> None:
    good = {"content": [{"type": "text", "text": "x" * 40}], "structuredContent": {"success": True}}
    bad = {**good, "isError": True, "structuredContent": {"error": {"code": "TIMEOUT"}}}
    call = {"method": "tools/call", "params": {"name": "cluster_list", "arguments": {}}}
    record = recorded(
        ("client", {"id": 0, "method": "tools/list"}),
        ("server", {"id": 0, "result": {"tools": []}}),
        ("client", {"id": 1, **call}),
        ("server", {"method": "notifications/progress", "params": {}}),
        ("server", {"id": 1, "result": good}),
        ("client", {"id": 2, **call}),
        ("server", {"id": 2, "result": bad}),
        ("client", {"id": 3, **call}),
        ("server", {"id": 3, "error": {"code": -32602, "message": "no"}}),
    )
    found = Measure.of(record)
    sizes = [len(json.loads(line)["line"]) for line in (record[4], record[6], record[8])]
    assert (found.calls, found.errors, found.tools) == (3, 2, {"cluster_list": 3})
    assert found.codes == {"TIMEOUT": 1, "JSON-RPC -32602": 1}
    assert (found.answer_bytes, found.longest_answer_bytes) == (sum(sizes), max(sizes))
    assert found.list_bytes == len(json.loads(record[1])["line"])
    assert found.bytes == found.list_bytes + found.answer_bytes
    assert found.tokens == 1 + 3 * 1 + 2 * 10  # the list `[]`, three times `{}`, two texts


async def test_an_agent_reaches_the_server_through_a_relay_that_keeps_every_message(tmp_path: Path) -> None:
    """The agent is a program that starts the server as clients do, and the server one that says what it hears."""
    agent = tmp_path / "agent.py"
    agent.write_text(
        "import json, os, subprocess, sys\n"
        "server = json.load(open(sys.argv[1]))['mcpServers']['vmcluster']\n"
        "command = [server['command'], *server['args']]\n"
        "said = subprocess.run(command, env={**os.environ, **server['env']}, input=b'{\"id\": 1}\\n', stdout=-1)\n"
        "print(sys.argv[2], said.returncode, said.stdout.decode())\n"
    )
    world = World("lab", tmp_path, server=("sh", "-c", "cat; exit 3"))
    task = Task(name="t", title="T", goal="repair {cluster}", check="repaired", most_calls=1)
    work = external([sys.executable, str(agent), "{mcp_config}", "{goal}"])
    assert await work(task, world, tmp_path / "record.jsonl") == 'repair lab 3 {"id": 1}\n\n'
    kept = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert kept == [{"from": of, "line": '{"id": 1}\n'} for of in ("client", "server")]
