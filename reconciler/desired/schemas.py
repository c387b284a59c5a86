"""JSON Schemas made from the models: `python -m reconciler.desired.schemas [--check] [DIRECTORY]`.

An editor uses one through the first line of a file: `# yaml-language-server: $schema=PATH`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from reconciler.model.topology import Topology
from reconciler.settings import Settings

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT_DIRECTORY = Path("specs/schemas")
MODELS: Mapping[str, Any] = {"topology": Topology, "config": Settings}


def render_schema(model: type[BaseModel] | Any) -> str:
    """The JSON Schema of a model, or of any type that pydantic understands, as the text of a file."""
    schema = TypeAdapter(model).json_schema()
    return json.dumps({"$schema": SCHEMA_DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"


def write_schemas(directory: Path, models: Mapping[str, Any] = MODELS) -> list[Path]:
    """Write `NAME.schema.json` for each model and return the files that were not current."""
    stale = stale_schemas(directory, models)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_schema(models[path.name.removesuffix(".schema.json")]))
    return stale


def stale_schemas(directory: Path, models: Mapping[str, Any] = MODELS) -> list[Path]:
    """The files of `directory` that are missing or differ from what the models say."""
    paths = {directory / f"{name}.schema.json": model for name, model in models.items()}
    return [path for path, model in paths.items() if not path.exists() or path.read_text() != render_schema(model)]


def main(arguments: Sequence[str]) -> int:
    """Write the schemas, or with `--check` only say which are not current; the exit code is 1 where one is not."""
    check = "--check" in arguments
    directories = [Path(argument) for argument in arguments if argument != "--check"] or [DEFAULT_DIRECTORY]
    stale = [path for directory in directories for path in (stale_schemas if check else write_schemas)(directory)]
    for path in stale:
        sys.stderr.write(f"{path}: {'not current (run: make docs)' if check else 'written'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
