"""The JSON Schemas in `specs/schemas/` say what the models say."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.schemas import generate, input_schemas, stale_files, write_files

SPECS = Path(__file__).parents[3] / "specs"


def test_the_schemas_that_we_ship_are_current() -> None:
    assert stale_files(SPECS / "schemas", input_schemas()) == []


def test_a_changed_missing_or_left_over_schema_is_noticed_and_put_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def generated(*options: str) -> int:
        return generate(input_schemas(), tmp_path, options)

    written = write_files(tmp_path, input_schemas())
    assert generated("--check") == 0
    written[0].write_text("{}")
    written[1].unlink()
    left_over = tmp_path / "of-a-former-command.schema.json"
    left_over.touch()
    assert generated("--check") == 1
    said = capsys.readouterr().err
    assert all(f"{path}: not current" in said for path in (*written, left_over))
    assert generated() == 0
    assert generated("--check") == 0
    assert not left_over.exists()


def properties(schema: Any) -> list[tuple[str, Any]]:
    if isinstance(schema, list):
        return [found for value in schema for found in properties(value)]
    if isinstance(schema, dict):
        here = list(schema["properties"].items()) if isinstance(schema.get("properties"), dict) else []
        return here + [found for value in schema.values() for found in properties(value)]
    return []


@pytest.mark.parametrize("path", sorted((SPECS / "schemas").rglob("*.json")), ids=lambda path: path.name)
def test_every_key_of_a_schema_is_described(path: Path) -> None:
    found = properties(json.loads(path.read_text()))
    assert found or json.loads(path.read_text())["type"] == "object"
    assert [name for name, field in found if not field.get("description")] == []


def test_every_topology_that_we_ship_names_its_schema() -> None:
    for path in (SPECS / "topologies").glob("*.yaml"):
        reference = path.read_text().splitlines()[0].partition("$schema=")[2]
        assert (path.parent / reference).is_file()
