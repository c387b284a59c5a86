"""Joins a module of JavaScript and those that it imports into one script, which a browser fetches at once.

Each module becomes a function that answers what the module exports, so that names stay apart. That takes what the
page's files keep to: imports and exports by name, each at the start of a line.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import (\{.+\}) from "(.+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|class|const|function) (\w+))", re.MULTILINE)


def joined_script(entry: Path) -> str:
    """A module, and before it what it imports."""
    modules: dict[Path, str] = {}
    _load(entry, modules)
    *needed, last = modules
    return "".join([*(_as_function(of, modules[of]) for of in needed), _linked(modules[last])])


def _load(module: Path, modules: dict[Path, str]) -> None:
    """Add a module behind those that it imports."""
    text = module.read_bytes().decode()
    for _, path in _IMPORT.findall(text):
        imported = (module.parent / path).resolve()
        if imported not in modules:
            _load(imported, modules)
    modules[module] = text


def _as_function(module: Path, text: str) -> str:
    exported = ", ".join(_EXPORT.findall(text))
    return f"const {module.stem}_js = (() => {{\n{_EXPORT.sub('', _linked(text))}return {{ {exported} }};\n}})();\n"


def _linked(text: str) -> str:
    """A module's text with the results of functions in place of its imports."""
    return _IMPORT.sub(lambda found: f"const {found[1]} = {Path(found[2]).stem}_js;", text)
