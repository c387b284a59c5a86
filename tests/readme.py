"""The tables in README.md that are made from the code: `python -m tests.readme [--check]`.

Each stands between `<!-- NAME: made by make docs -->` and `<!-- end -->`.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from reconciler.errors import CLASSES, ErrorCode, is_recoverable
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.service.metrics import MEASURES
from reconciler.settings import Settings

_END = "<!-- end -->"
README = Path(__file__).parents[1] / "README.md"


def render_config_table() -> str:
    """Every key of the configuration: environment variable, default, meaning."""
    rows = (
        (f"`{key}`", f"`VMCLUSTER_{key.upper()}`", f"`{field.default}`", field.description or "")
        for key, field in Settings.model_fields.items()
    )
    return _table(("key", "environment", "default", "meaning"), rows)


def render_error_table() -> str:
    """Every error code: meaning, and whether trying again or reverting can help."""
    rows = ((f"`{code}`", _summary(CLASSES[code]), "yes" if is_recoverable(code) else "no") for code in ErrorCode)
    return _table(("code", "meaning", "recoverable"), rows)


def render_tool_table() -> str:
    """Every MCP tool: its arguments and what it does."""
    rows = ((f"`{tool.function.__name__}({_arguments(tool.function)})`", _summary(tool.function)) for tool in TOOLS)
    return _table(("tool", "does"), rows)


def render_metrics_table() -> str:
    """Every metric of the service: its labels and what it says."""
    rows = ((f"`{of.name}`", ", ".join(f"`{label}`" for label in of.labels), of.meaning) for of in MEASURES)
    return _table(("metric", "labels", "says"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "config": render_config_table,
    "errors": render_error_table,
    "metrics": render_metrics_table,
    "tools": render_tool_table,
}


def render(text: str) -> str:
    """The text with each marked table made anew. Raises `ValueError` where a table has no place."""
    for name, render_table in TABLES.items():
        opening = f"<!-- {name}: made by make docs -->\n"
        before, found, rest = text.partition(opening)
        _stale, closed, after = rest.partition(_END)
        if not found or not closed or opening in after:
            raise ValueError(f"there must be one place for {name}: {opening.strip()} ... {_END}")
        text = f"{before}{opening}{render_table()}{_END}{after}"
    return text


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or with `--check` only say whether they are current; the exit code is 1 where not."""
    before = README.read_text()
    after = render(before)
    if "--check" in arguments:
        if before != after:
            sys.stderr.write(f"{README.name}: not current (run: make docs)\n")
        return int(before != after)
    README.write_text(after)
    return 0


def _arguments(function: Callable[..., object]) -> str:
    _call, *parameters = inspect.signature(function).parameters.values()
    return ", ".join(map(_argument, parameters))


def _argument(parameter: inspect.Parameter) -> str:
    return (
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={json.dumps(parameter.default)}"
    )


def _summary(documented: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
