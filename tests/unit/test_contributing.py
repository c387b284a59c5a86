"""What CONTRIBUTING says of adding things is true: its examples are applied to a copy of the package, and used."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manual import ROOT
from tests.worked_examples import PAGE, Example, apply, changed, examples

pytestmark = [pytest.mark.long, pytest.mark.processes]

EXAMPLES = {example.title: example for example in examples(PAGE.read_text())}
AT_MOST = {
    "A kind of fault": 4,
    "An MCP tool with its command": 5,
    "A class of kernel messages": 2,
    "A check of the host": 3,
    "A field of the topology": 6,
    "A kind of resource": 13,
}
"""How many files in `reconciler/` each may touch. Tests and generated files (specs/schemas, tables) come on top."""

LISTED = {
    "A field of the topology": r"\bdisk_gb\b",
    "A kind of resource": r"\b(WriteSeed|UpdateSeed|DeleteSeed)\b|\"seeds\"|\bseeds(: (dict|Mapping|DriftMode)|=)",
}
"""Of the examples that are there already: by what their files are known."""

USES = """
import asyncio, os
from datetime import UTC, datetime
from pathlib import Path
from reconciler.desired.declared_faults import check_fault, resolve_faults
from reconciler.faults.combine import fold
from reconciler.faults.explain import explain_link, fault_info
from reconciler.frontends.cli.app import run_command_line
from reconciler.frontends.mcp.tool_list import tool_list
from reconciler.kernel_log.announcements import announced_kind
from reconciler.model.faults import FaultTopology
from reconciler.model.record import ClusterRecord
from reconciler.records import fault_changes
from reconciler.store.sqlite import SqliteStore
from reconciler.usecases import doctor
from tests.unit.store.samples import sample_record

# The fault: declared in a topology, kept in a record, folded into links, explained and healed.
declared = FaultTopology.model_validate({"name": "quiet", "silence": {"node": "n0"}})
assert [*check_fault(declared, (), ("n0", "n1"))] == []
(problem,) = check_fault(declared, (), ("n1", "n2"))
assert "no node named 'n0'" in problem.message and problem.location == ("silence", "node"), problem
record = sample_record("lab")
node, *others = record.spec.nodes
(request,) = (of.request for of in resolve_faults([FaultTopology(name="q", silence={"node": node})]).values())
record, fault = fault_changes.with_fault(record, request, now=datetime.now(UTC))
assert fault.handle_id == "silence-1", fault
record = ClusterRecord.model_validate_json(record.model_dump_json())
assert record.faults == {"silence-1": fault}
links = fold([*record.faults.values()], (node, *others))
assert {to: {of for of, link in inbound.links.items() if link.cut} for to, inbound in links.items()} == {
    other: {node} for other in others
}
assert explain_link([fault], (node, *others), node, others[0]).faults[0].effect == f"silence: nobody hears {node}"
assert fault_info(fault, (node, *others)).requested == {"node": node}
assert fault_changes.without_faults(record, ["silence-1"]).faults == {}
for words in (["fault", "silence", "--help"], ["age", "--help"]):
    assert run_command_line(words) == 0

# The tools, and the command of one, on a store.
listed = {tool.name: tool for tool in tool_list().tools}
for tool in ("net_silence", "cluster_age"):
    assert listed[tool].output_schema["properties"].keys() == {"success", "result", "error"}

async def define() -> None:
    async with SqliteStore(Path(os.environ["VMCLUSTER_STATE_DIR"])) as store:
        await store.put(sample_record("lab"), expected_generation=0, actor="test")

asyncio.run(define())
assert run_command_line(["age", "lab", "-o", "json"]) == 0
assert run_command_line(["age", "nope"]) == 1

# The kernel's message and the check.
assert announced_kind("mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 5") == "machine_check"
assert announced_kind("say mce: [Hardware Error]: ") is None
assert doctor.checks.check_cpus().name == "cpus"
"""


@pytest.mark.parametrize("title", AT_MOST)
def test_a_thing_that_one_may_add_touches_as_few_files_as_its_title_says(title: str) -> None:
    example = EXAMPLES[title]
    touched = example.places or example.named
    assert len(touched) == example.files
    assert example.files <= AT_MOST[title]


@pytest.mark.parametrize("title", LISTED)
def test_the_files_of_what_is_there_are_those_of_its_list(title: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "reconciler").rglob("*.py")
        if re.search(LISTED[title], path.read_text())
    }
    assert found == EXAMPLES[title].named


def test_a_shape_of_a_partition_is_in_four_files() -> None:
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "reconciler").rglob("*.py")
        if re.search(r"majorities.ring|MajoritiesRing", path.read_text(), re.IGNORECASE)
    }
    assert naming == {
        "reconciler/model/choices.py",
        "reconciler/model/faults.py",
        "reconciler/faults/shapes.py",
        "reconciler/frontends/mcp/fault_tools.py",
    }


def test_the_examples_work(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reconciler", tmp_path / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for example in EXAMPLES.values():
        apply(example, tmp_path)
    environment = {"PYTHONPATH": str(tmp_path), "VMCLUSTER_STATE_DIR": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    used = subprocess.run(
        [sys.executable, "-P", "-c", USES], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert used.returncode == 0, used.stderr
    assert re.search(r'"first_defined_at": "\d{4}-.*Z"', used.stdout)


@pytest.mark.parametrize(
    ("text", "place", "now"),
    [
        ("a\nb\nc\n", " b\n+x\n", "a\nb\nx\nc\n"),
        ("a\nb\nc\n", " a\n-b\n+x\n+y\n c\n", "a\nx\ny\nc\n"),
        ("a(b)\nc\n", "+x\n a(…\n", "x\na(b)\nc\n"),
        ("", "+x\n", "x\n"),
    ],
)
def test_an_example_is_applied_where_its_lines_are(text: str, place: str, now: str) -> None:
    assert changed(text, place) == now


@pytest.mark.parametrize("place", [" z\n+x\n", " a\n+x\n"])
def test_an_example_whose_place_is_not_there_once_is_an_error(place: str) -> None:
    with pytest.raises(ValueError, match="are as CONTRIBUTING has it"):
        changed("a\na\n", place)


def test_an_example_is_read_with_its_files_and_places() -> None:
    diff = "```diff\n--- a.py\n+x\n@@\n y\n+z\n--- b.py\n+x\n```\n"
    page = f"## Add\n\n### A b (2 files)\n\n`reconciler/c.py`\n\n{diff}\n## Next\n"
    assert list(examples(page)) == [
        Example("A b", 2, {"a.py": ("+x\n", " y\n+z\n"), "b.py": ("+x\n",)}, frozenset({"reconciler/c.py"}))
    ]
