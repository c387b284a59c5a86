"""Whatever a file holds, the answer is a topology or a list of problems, soon."""

import time
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.desired.load import parse_topology
from reconciler.model.topology import Topology

BASE = Path("/topologies")
LIMITS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SOON_S = 2
"""Of CPU time: a busy machine is not slower by it."""

VALID: dict[str, Any] = {
    "cluster_name": "lab",
    "base_image": "base.qcow2",
    "network": {"name": "labnet", "bridge": "virbr-lab", "subnet": "10.7.0.0/24", "forward": "nat"},
    "nodes": [
        {"name": "a", "vcpus": 1, "memory_mb": 512, "ip": "10.7.0.10", "role": "x", "user_data": {"k": [1]}},
        {"name": "b", "vcpus": 2, "memory_mb": 512, "ip": "10.7.0.11", "boot": {"kernel": "k", "cmdline": "c"}},
        {"name": "c", "vcpus": 2, "memory_mb": 512, "ip": "10.7.0.12", "extra_disks": [{"path": "d", "size_gb": 1}]},
    ],
    "ssh": {"key_path": "~/key", "user": "root", "connect_timeout_s": 1.5},
    "snapshots": {"baseline": "clean-boot"},
}

FRAGMENTS = (
    *("cluster_name: lab\n", "nodes:\n", "  - name: a\n", "- ", "? ", ": ", "&a ", "*a", "<<: *a\n", "!!int "),
    *("[", "]", "{", "}", "'", '"', "|\n", ">\n", "#", "\n", "    ", "\t", "---\n", "...\n", "%YAML 1.2\n"),
    *("010", "1:2", "~", "on", "1e3", ".nan", "0x", "\x85", "\u2028", "\ufeff", "\\ud800", "@", "`", ", "),
    "network: {subnet: 1.2.3.4/33}\n",
)
fragments = st.sampled_from(FRAGMENTS)
texts = st.lists(fragments | st.text(max_size=5), max_size=60).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
scalars |= st.sampled_from(
    ["10.7.0.1", "0.0.0.0/0", "a" * 50, "../x", "/dev/null", "x\0y", -1, 2**70, 1e308, "~root/x"]
)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def locations(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [above, *(place for key, value in pairs for place in locations(value, (*above, key)))]


def replaced(tree: Any, location: tuple[Any, ...], value: Any) -> Any:
    if not location:
        return value
    copy = tree.copy()
    copy[location[0]] = replaced(tree[location[0]], location[1:], value)
    return copy


mutations = st.lists(st.tuples(st.sampled_from(locations(VALID)[1:]), trees), min_size=1, max_size=1)
mutated = mutations.map(lambda changes: replaced(VALID, *changes[0]))


def assert_answered(content: bytes) -> None:
    began_s = time.process_time()
    loaded = parse_topology(content, BASE)
    problems = loaded.problems()
    assert time.process_time() - began_s < SOON_S
    assert isinstance(loaded.topology, Topology) or problems
    line_count = len(content.decode(errors="replace").splitlines()) + 1
    lines = [problem.at("f") for problem in problems]
    assert all(1 <= problem.line <= line_count and problem.message for problem in problems)
    assert all("\n" not in line and "\x1b" not in line for line in lines)


def test_the_topology_that_is_mutated_below_is_valid() -> None:
    loaded = parse_topology(yaml.safe_dump(VALID).encode(), BASE)
    assert loaded.problems() == ()
    assert loaded.topology is not None


@LIMITS
@given(st.binary(max_size=300))
def test_any_bytes_give_a_topology_or_problems(content: bytes) -> None:
    assert_answered(content)


@LIMITS
@given(texts)
def test_any_text_that_resembles_yaml_gives_a_topology_or_problems(text: str) -> None:
    assert_answered(text.encode(errors="replace"))


@LIMITS
@given(mutated)
def test_any_value_anywhere_gives_a_topology_or_problems(tree: Any) -> None:
    assert_answered(yaml.safe_dump(tree, allow_unicode=True).encode(errors="replace"))


MODEL_MAPPINGS = [(), ("network",), ("nodes", 0), ("nodes", 1, "boot"), ("nodes", 2, "extra_disks", 0), ("ssh",)]


@LIMITS
@given(st.sampled_from(MODEL_MAPPINGS), st.text("abcdefghijklmnopqrstuvwxyz_", max_size=10))
def test_an_unknown_key_anywhere_is_a_problem_at_its_own_line(location: tuple[Any, ...], key: str) -> None:
    target: Any = VALID
    for part in location:
        target = target[part]
    text = yaml.safe_dump(replaced(VALID, location, {**target, f"zz{key}": 1}))
    problems = parse_topology(text.encode(), BASE).problems()
    assert len(problems) == 1
    assert "unknown key" in problems[0].message
    assert f"zz{key}: 1" in text.splitlines()[problems[0].line - 1]
