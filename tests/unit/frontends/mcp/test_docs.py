"""The table of tools says what the server offers, and the README has it as it is now."""

from pathlib import Path

import pytest

from reconciler.frontends.mcp.docs import render_tool_table
from reconciler.frontends.mcp.tools import TOOLS

README = Path(__file__).parents[4] / "README.md"


def test_the_table_has_a_row_for_each_tool_with_defaults_as_json_and_its_answer() -> None:
    head, rule, *rows = render_tool_table().splitlines()
    assert (head, rule) == ("| tool | does | answers |", "|---|---|---|")
    assert len(rows) == len(TOOLS)
    (start,) = [row for row in rows if "cluster_start(" in row]
    assert start.startswith("| `cluster_start(cluster_name, wait_for_ssh=true, ssh_timeout_s=120)` | Boot all nodes")
    assert start.endswith("| `ClusterStatus` |")
    assert any(row.endswith("| `list[ClusterSummary]` |") for row in rows)


def test_the_readme_has_the_table_as_it_is_now() -> None:
    if "| tool | does | answers |" not in README.read_text():
        pytest.skip("the README has no table of tools yet")
    assert render_tool_table() in README.read_text()
