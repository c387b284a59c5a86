import pytest

from reconciler.errors import ErrorCode
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.settings import Settings
from tests import readme

TEMPLATE = "".join(
    f"before\n<!-- {name}: made by make docs -->\nSTALE\n<!-- end -->\nafter\n" for name in readme.TABLES
)


def test_the_tables_in_the_readme_are_current() -> None:
    text = readme.README.read_text()
    assert readme.render(text) == text


def test_tables_take_the_place_of_old_ones_and_nothing_else_changes() -> None:
    once = readme.render(TEMPLATE)
    assert "STALE" not in once
    assert once.count("before\n") == once.count("after\n") == len(readme.TABLES)
    assert readme.render(once) == once


def test_a_missing_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="one place for config"):
        readme.render("no tables here")


def test_every_key_code_and_tool_has_a_row() -> None:
    config, errors, tools = readme.render_config_table(), readme.render_error_table(), readme.render_tool_table()
    assert all(f"| `{key}` | `VMCLUSTER_{key.upper()}` |" in config for key in Settings.model_fields)
    assert all(f"| `{code}` |" in errors for code in ErrorCode)
    assert all(f"| `{tool.function.__name__}(" in tools for tool in TOOLS)
