"""What can be called next: named as a tool everywhere, and spelled as a command on the command line."""

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import reconciler
from reconciler.frontends.cli.app import app
from reconciler.frontends.cli.spelled_results import spelled
from reconciler.frontends.cli.wording import command_words, in_commands, texts_about
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.results import ClusterStatus, DomainState, ExecResult, NodeStatus, SnapshotInfo
from reconciler.model.status import Condition, ConditionStatus, ConditionType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = typer.main.get_command(app)
PACKAGE = Path(reconciler.__file__).parent
TOOL_NAMES = {tool.function.__name__ for tool in TOOLS}


def command(*words: str) -> Any:
    """A command of vmcluster."""
    found: Any = ROOT
    for word in words:
        found = found.commands[word]
    return found


def running(*words: str, params: Mapping[str, Any] | None = None) -> Any:
    """As within a command that runs, with these arguments."""
    parent = typer.Context(ROOT)
    context = typer.Context(command(*words), parent=parent)
    context.params = dict(params or {})
    return context


def commands_in(group: Any, *before: str) -> Iterator[str]:
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from commands_in(found, *before, name)
        else:
            yield " ".join((*before, name))


@cache
def texts() -> list[tuple[str, str]]:
    """Every piece of text below the front ends that is no docstring, with its place."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "frontends" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        docstrings = {id(of.value) for of in ast.walk(tree) if isinstance(of, ast.Expr)}
        found += [
            (f"{path.relative_to(PACKAGE)}:{node.lineno}", node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
    return found


@pytest.mark.parametrize("tool", sorted(set(TOOL_NAMES) - {"topology_write"}))  # people have an editor
def test_every_tool_has_a_command_to_be_spelled_as(tool: str) -> None:
    words, _, option = command_words(tool).partition(" --")
    found = command(*words.split())
    names = {name for of in found.params for name in (*of.opts, *of.secondary_opts)}
    assert not option or f"--{option}" in names


@pytest.mark.parametrize(
    ("said", "spelling"),
    [
        ("`cluster_start` boots it", "`vmcluster start CLUSTER` boots it"),
        ('`cluster_stop(mode="destroy")`', "`vmcluster stop CLUSTER --mode destroy`"),
        (
            "`cluster_apply(allow_data_loss=true, start=false)`",
            "`vmcluster apply TOPOLOGY --allow-data-loss --no-start`",
        ),
        ('`snapshot_create(snapshot_name="x", include_memory=true)`', "`vmcluster snapshot create CLUSTER x --memory`"),
        ("`cluster_start(ssh_timeout_s=300, wait_for_ssh=false)`", "`vmcluster start CLUSTER --timeout 300 --no-wait`"),
        ("`node_exec_all`, `net_heal_all`", "`vmcluster exec CLUSTER --all`, `vmcluster fault heal CLUSTER --all`"),
        ("`allow_restart` or `timeout_s` agree", "`--allow-restart` or `--timeout` agree"),
        ("`vmcluster watch`, `sh`, `memory_mb`, `a b`", "`vmcluster watch`, `sh`, `memory_mb`, `a b`"),
        ("`user_data` and `cluster_x` are none", "`user_data` and `cluster_x` are none"),
    ],
)
def test_a_tool_is_spelled_as_its_command_and_an_argument_as_its_option(said: str, spelling: str) -> None:
    with running("apply"):
        assert in_commands(said) == spelling


@pytest.mark.parametrize(
    ("said", "of_the_cluster", "of_a_node"),
    [
        ("`cluster_start`", "`vmcluster start lab`", "`vmcluster start lab n0`"),
        ("`node_console` or `node_crash`", "`vmcluster console lab NODE` or `vmcluster crash lab NODE`",
         "`vmcluster console lab n0` or `vmcluster crash lab n0`"),
        ("`node_exec`", "`vmcluster exec lab`", "`vmcluster exec lab n0`"),
        ("`node_exec_all`, `net_heal_all`", *["`vmcluster exec lab --all`, `vmcluster fault heal lab --all`"] * 2),
        ('`cluster_stop(mode="destroy")`', "`vmcluster stop lab --mode destroy`",
         "`vmcluster stop lab n0 --mode destroy`"),
        ('`cluster_wait(cluster_name="two", condition="Ready")`', *["`vmcluster wait two --for Ready`"] * 2),
        ('`snapshot_delete(snapshot_name="s 1")`', *["`vmcluster snapshot delete lab s 1`"] * 2),
        ("`artifact_sync`, `artifact_list`", *["`vmcluster artifact sync lab`, `vmcluster artifact list`"] * 2),
        ("`cluster_apply`, `host_doctor`", *["`vmcluster apply TOPOLOGY`, `vmcluster doctor`"] * 2),
    ],
)  # fmt: skip
def test_a_call_is_spelled_with_the_cluster_and_node_it_is_about(
    said: str, of_the_cluster: str, of_a_node: str
) -> None:
    with running("status", params={"cluster": "lab"}):
        assert in_commands(said) == of_the_cluster
        with texts_about(node="n0"):
            assert in_commands(said) == of_a_node
    with running("start", params={"cluster": "lab", "nodes": ["n0"]}):
        assert in_commands("`cluster_start`") == "`vmcluster start lab n0`"
    with running("apply", params={"topology": "my lab.yaml"}), texts_about(cluster="lab", node="n0"):
        assert in_commands(said) == (
            of_a_node if "apply" not in said else of_a_node.replace("TOPOLOGY", "'my lab.yaml'")
        )


def test_an_argument_with_a_unit_is_spelled_as_the_option_without_it() -> None:
    with running("fault", "impair"):
        assert in_commands("`delay_ms`, `loss_pct`, `rate_kbit`") == "`--delay`, `--loss`, `--rate`"
        assert in_commands("`duration_s` or `latency_ms`") == "`--duration` or `latency_ms`"


def test_every_call_that_is_named_anywhere_can_be_made_by_both_kinds_of_readers() -> None:
    parameters = {tool.function.__name__: tool.function.__annotations__ for tool in TOOLS}
    named = [
        (place, tool, arguments)
        for place, text in texts()
        for tool, arguments in re.findall(r"`([a-z]+_[a-z_]+)(?:\(([^()`]*)\))?`", text)
        if tool in TOOL_NAMES or arguments
    ]
    assert len(named) > 20
    with running("status"):
        for place, tool, arguments in named:
            for argument in re.findall(r"(\w+)=", arguments):
                assert argument in parameters[tool], place
                assert " --" in in_commands(f"`{tool}({arguments})`"), place


def test_no_text_names_the_command_where_there_is_a_tool() -> None:
    without_tool = set(commands_in(ROOT)) - {command_words(tool).partition(" --")[0] for tool in TOOL_NAMES}
    without_tool |= {"destroy --force", "doctor --fix"}  # what no tool may
    for place, text in texts():
        for words in re.findall(r"`vmcluster ([a-z -]+)", text):
            assert any(words == of or words.startswith(f"{of} ") for of in without_tool), (place, words)
        assert not re.search(r"(?<![\w`-])--allow-", text), place


def test_the_prose_of_a_result_is_spelled_and_what_others_wrote_is_not() -> None:
    said, spelling = "`cluster_start` boots it", "`vmcluster start lab` boots it"
    condition = Condition(
        type=ConditionType.READY, status=ConditionStatus.FALSE, reason="Off", message=said, last_transition=NOW
    )
    node = NodeStatus(
        name="n0", role=said, ip="10.0.0.2", domain_state=DomainState.SHUT_OFF, ssh_reachable=False, message=said
    )
    status = ClusterStatus(cluster_name="lab", network_active=True, nodes=(node,), conditions=(condition,))
    taken = SnapshotInfo(snapshot_name="s", cluster_name="lab", created_at=NOW, per_node={}, warnings=(said,))
    ran = ExecResult(exit_code=0, stdout=said, stderr="", duration_s=1.0, timed_out=False)
    with running("status"):
        shown = spelled(status)
        assert shown.nodes[0].message == "`vmcluster start lab n0` boots it"
        assert shown.conditions[0].message == spelling
        assert shown.nodes[0].role == said
        assert spelled([taken])[0].warnings == (spelling,)
        assert spelled({"n0": ran})["n0"].stdout == said
    assert spelled(status) == status  # no command runs
