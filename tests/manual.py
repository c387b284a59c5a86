"""The tables in the manual that are generated from the code: `python -m tests.manual [--check]`.

Each stands on its page between `<!-- NAME: made by make docs -->` and `<!-- end -->`.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from reconciler.daemon.metrics import MEASURES
from reconciler.daemon.node_metrics import NODE_MEASURES
from reconciler.error_codes import ErrorCode
from reconciler.errors import CLASSES, is_recoverable
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.settings import Settings

_END = "<!-- end -->"
ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "specs" / "manual"


def render_config_table() -> str:
    """Every key of the configuration: environment variable, default, meaning."""
    rows = (
        (
            f"`{key}`",
            f"`VMCLUSTER_{key.upper()}`",
            "" if field.default is None else f"`{field.default}`",
            field.description or "",
        )
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
    rows = (
        (f"`{of.name}`", ", ".join(f"`{label}`" for label in of.labels), of.meaning)
        for of in (*MEASURES, *NODE_MEASURES)
    )
    return _table(("metric", "labels", "says"), rows)


TABLES: Mapping[str, tuple[Path, Callable[[], str]]] = {
    "config": (MANUAL / "configuration.md", render_config_table),
    "errors": (MANUAL / "agents.md", render_error_table),
    "metrics": (MANUAL / "service.md", render_metrics_table),
    "tools": (MANUAL / "agents.md", render_tool_table),
}
"""By name: the page where it stands, and what makes it."""


def pages() -> list[Path]:
    """Every page that a reader is meant to read, README first."""
    return [ROOT / "README.md", *sorted(MANUAL.glob("*.md")), *sorted((ROOT / ".github").glob("*.md"))]


def render(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The page with these tables rendered again. Raises `ValueError` where a table has no place, or several."""
    for name, render_table in tables.items():
        opening = f"<!-- {name}: made by make docs -->\n"
        before, found, rest = page.partition(opening)
        _stale, closed, after = rest.partition(_END)
        if not found or not closed or opening in after:
            raise ValueError(f"there must be one place for {name}: {opening.strip()} ... {_END}")
        page = f"{before}{opening}{render_table()}{_END}{after}"
    return page


def stale() -> dict[Path, str]:
    """The pages whose tables are not current, as they should be."""
    rendered = {
        page: render(page.read_text(), {name: render for name, (on, render) in TABLES.items() if on == page})
        for page in {page for page, _render in TABLES.values()}
    }
    return {page: text for page, text in rendered.items() if text != page.read_text()}


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or with `--check` only say which pages are not current; the exit code is 1 where any is."""
    found = stale()
    if "--check" in arguments:
        for page in found:
            sys.stderr.write(f"{page.relative_to(ROOT)}: not current (run: make docs)\n")
        return int(bool(found))
    for page, text in found.items():
        page.write_text(text)
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
