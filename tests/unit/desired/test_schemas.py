"""The JSON Schemas in `specs/schemas/` say what the models say."""

import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.desired.schemas import main, stale_schemas, write_schemas

SPECS = Path(__file__).parents[3] / "specs"


def test_the_schemas_that_we_ship_are_current() -> None:
    assert stale_schemas(SPECS / "schemas") == []


def test_a_changed_or_missing_schema_is_noticed_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_schemas(tmp_path)
    assert main(["--check", str(tmp_path)]) == 0
    written[0].write_text("{}")
    written[1].unlink()
    assert main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert all(f"{path}: not current" in said for path in written)
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


def properties(schema: Any) -> list[tuple[str, Any]]:
    if isinstance(schema, dict):
        here = list(schema["properties"].items()) if isinstance(schema.get("properties"), dict) else []
        return here + [found for value in schema.values() for found in properties(value)]
    return []


@pytest.mark.parametrize("path", sorted((SPECS / "schemas").glob("*.json")), ids=lambda path: path.name)
def test_every_key_of_a_schema_is_described(path: Path) -> None:
    found = properties(json.loads(path.read_text()))
    assert found
    assert [name for name, field in found if not field.get("description")] == []


def test_every_topology_that_we_ship_names_its_schema() -> None:
    for path in (SPECS / "topologies").glob("*.yaml"):
        reference = path.read_text().splitlines()[0].partition("$schema=")[2]
        assert (path.parent / reference).is_file()
