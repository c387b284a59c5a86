"""JSON Schemas of the files that users write: `python -m reconciler.desired.schemas [--check] [DIRECTORY]`.

An editor finds one through the first line of a file: `# yaml-language-server: $schema=PATH`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from reconciler.model.topology import Topology
from reconciler.settings import Settings

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUFFIX = ".schema.json"
DEFAULT_DIRECTORY = Path("specs/schemas")


def input_schemas() -> dict[str, str]:
    """The JSON Schemas as file contents, by file name."""
    models: Mapping[str, Any] = {"topology": Topology, "config": Settings}
    return {f"{name}{SUFFIX}": schema_text(TypeAdapter(model).json_schema()) for name, model in models.items()}


def schema_text(schema: Mapping[str, Any]) -> str:
    """A JSON Schema as file contents."""
    return json.dumps({"$schema": SCHEMA_DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"


def stale_files(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    """The files of `directory` that are missing or out of date, and schemas there that are no longer generated."""
    paths = {directory / name: text for name, text in texts.items()}
    folders = {path.parent for path in paths}
    others = (path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}")) if path not in paths)
    return [*(path for path, text in paths.items() if not path.exists() or path.read_text() != text), *others]


def write_files(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    """Update `directory` and return the files that were out of date."""
    stale = stale_files(directory, texts)
    for path in stale:
        text = texts.get(str(path.relative_to(directory)))
        if text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return stale


def generate(texts: Mapping[str, str], default: Path, arguments: Sequence[str]) -> int:
    """Write schemas, or with `--check` only report those that are not current; the exit code is 1 if one is not."""
    check = "--check" in arguments
    directories = [Path(argument) for argument in arguments if argument != "--check"] or [default]
    act = stale_files if check else write_files
    stale = [path for directory in directories for path in act(directory, texts)]
    for path in stale:
        sys.stderr.write(f"{path}: {'not current (run: make docs)' if check else 'updated'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(generate(input_schemas(), DEFAULT_DIRECTORY, sys.argv[1:]))
