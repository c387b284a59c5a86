"""The schemas of the tools are short, and true."""

import json
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from reconciler.frontends.mcp.listed_tools import FILE
from reconciler.frontends.mcp.tool_list import list_text
from reconciler.frontends.mcp.tool_schemas import answer_schemas, parameter_schema
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.results import BuildArtifact, ClusterStatus, ToolResult
from tests.unit.frontends.mcp.conftest import validator_of


def of_result(schema: dict[str, Any]) -> Any:
    return schema["properties"]["result"]


def test_the_list_of_tools_that_the_server_reads_is_current() -> None:
    assert FILE.read_text() == list_text(), "run: make docs"


def test_the_fields_of_an_answer_are_listed_once() -> None:
    first, second = answer_schemas([ToolResult[ClusterStatus], ToolResult[ClusterStatus]])
    assert of_result(first)["properties"]["nodes"] == {"type": "array"}
    assert of_result(second) == {"type": ["object", "null"], "title": "ClusterStatus"}


def test_the_items_of_a_list_have_their_fields_and_those_of_the_contract_are_all_there() -> None:
    (schema,) = answer_schemas([ToolResult[list[BuildArtifact]]])
    fields = of_result(schema)["items"]["properties"]
    assert fields["artifact_id"] == {"type": "string"}
    assert fields["git_sha"] == {"type": ["string", "null"]}
    assert "excluded" not in fields, "that is left out where it is empty"


def test_every_answer_that_a_type_permits_is_permitted_by_its_short_schema() -> None:
    short = answer_schemas(get_type_hints(tool.function)["return"] for tool in TOOLS)
    for tool, schema in zip(TOOLS, short, strict=True):
        validator_of(json.dumps(schema))
        full = TypeAdapter(get_type_hints(tool.function)["return"]).json_schema(mode="serialization")
        fields = full.get("properties") or full["$defs"][full["$ref"].rpartition("/")[2]]["properties"]
        assert schema["properties"].keys() == fields.keys() - {"next"}, "which is in the instructions, once"


def test_an_optional_parameter_may_be_null_and_a_name_may_be_given_for_a_list() -> None:
    schema = parameter_schema(
        {
            "properties": {
                "nodes": {
                    "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}, {"type": "null"}],
                    "default": None,
                    "title": "Nodes",
                },
                "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
                "count": {"type": "integer", "maximum": 4294967295, "default": 0},
            }
        }
    )
    assert schema["properties"] == {
        "nodes": {"type": ["array", "string", "null"], "items": {"type": "string"}},
        "limit": {"type": ["integer", "null"]},
        "count": {"type": "integer", "default": 0},
    }
