"""However much there is to say, an answer fits: what was left out is counted, and the rest can be asked for."""

import json
from typing import Any, get_type_hints

import pytest
from mcp_types import JSONRPCResponse

from reconciler.frontends.mcp import callable_tools
from reconciler.frontends.mcp.answer_limits import DEFAULT_BYTES, Extent, abridged
from reconciler.frontends.mcp.extents import extent_of
from reconciler.frontends.mcp.tool_definition import ToolDefinition
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.abridging import omission_note
from reconciler.model.results import ExecResult, ToolResult
from tests.unit.frontends.mcp.conftest import validator_of

pytestmark = pytest.mark.long

LONG_TEXTS = {"stdout", "stderr", "git_log", "output", "depmod_output"}
LONG_LISTS = {"modules": 5000, "nodes": 300, "results": 300, "per_node": 100, "actions": 1000, "lines": 600}


class Plenty:
    """Makes results as large as clusters, logs and builds get, by their schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schemas = schema.get("$defs", {})
        self._number = 0

    def of(self, schema: dict[str, Any], name: str = "", depth: int = 0) -> Any:  # noqa: PLR0911
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rsplit("/", 1)[1]], name, depth)
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0], name, depth)
        if "enum" in schema or "const" in schema:
            return schema.get("const", [*schema.get("enum", []), None][0])
        match schema.get("type"):
            case "array":
                return [self.of(schema["items"], "", depth + 1) for _ in range(self._many(name, depth))]
            case "object" if "properties" in schema:
                fields = schema["properties"].items()
                return {key: {} if key == "omitted" else self.of(of, key, depth + 1) for key, of in fields}
            case "object":
                of = schema.get("additionalProperties")
                many = self._many(name, depth) if isinstance(of, dict) else 30
                value = of if isinstance(of, dict) else {"type": "array", "items": {"type": "string"}}
                return {self._word(): self.of(value, "", depth + 1) for _ in range(many)}
            case "string":
                return self._text(name, schema)
            case "boolean":
                return True
            case _:
                return 0

    @staticmethod
    def _many(name: str, depth: int) -> int:
        return 25 if depth == 0 else LONG_LISTS.get(name, 60 if depth == 1 else 10) if depth < 4 else 3

    def _text(self, name: str, schema: dict[str, Any]) -> str:
        if schema.get("format") in _FORMATTED:
            return _FORMATTED[schema["format"]]
        return f'{self._word()}\t"\\ü€'.ljust(5000, "\n") if name in LONG_TEXTS else self._word()

    def _word(self) -> str:
        self._number += 1
        return f"a-word-{self._number:07}"


_FORMATTED = {"date-time": "2026-01-01T00:00:00Z", "ipv4": "192.0.2.1"}


def line_bytes(answer: ToolResult[Any], definition: ToolDefinition, **asked: Any) -> tuple[int, dict[str, Any]]:
    """How long the answer is on the wire, and its envelope."""
    result = callable_tools.protocol_result(answer, definition.name, {}, extent_of(definition, asked))
    content = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    line = JSONRPCResponse(jsonrpc="2.0", id=1, result=content).model_dump_json(by_alias=True, exclude_unset=True)
    envelope: dict[str, Any] = content["structuredContent"]
    assert json.loads(content["content"][0]["text"]) == envelope
    return len(line.encode()), envelope


def plenty_of(definition: ToolDefinition) -> tuple[ToolResult[Any], dict[str, Any]]:
    kind = get_type_hints(definition.function)["return"]
    schema = kind.model_json_schema(mode="serialization")
    maker = Plenty(schema)
    result = maker.of(schema["properties"]["result"]["anyOf"][0])
    answer = kind.model_validate({"success": True, "result": result}, strict=False)
    return answer, schema


@pytest.mark.parametrize("definition", TOOLS, ids=lambda definition: definition.function.__name__)
def test_the_default_answer_of_every_tool_fits_and_counts_what_is_not_in_it(definition: ToolDefinition) -> None:
    answer, schema = plenty_of(definition)
    for detail in ("brief", "full"):
        length, envelope = line_bytes(answer, definition, detail=detail)
        assert length < DEFAULT_BYTES
        assert envelope["next"]
        validator_of(json.dumps(schema)).validate(envelope)
    counted(answer.model_dump(mode="json")["result"], envelope["result"])


def counted(whole: Any, cut: Any) -> None:
    """Every item is there, or in a count beside its list."""
    if isinstance(whole, dict) and isinstance(cut, dict):
        for key, value in cut.items():
            if key in whole and isinstance(value, list | dict) and key not in ("omitted", "parameters"):
                assert len(value) + left_out(cut, key) - left_out(whole, key) == len(whole[key]), key
                counted(whole[key], value)
    elif isinstance(whole, list) and isinstance(cut, list) and len(whole) == len(cut):
        for one, other in zip(whole, cut, strict=True):
            counted(one, other)


def left_out(record: dict[str, Any], key: str) -> int:
    return int(record.get("omitted", {}).get(key, 0) + record.get(f"omitted_{key}", 0))


def cut(result: Any, **extent: Any) -> Any:
    return abridged({"success": True, "result": result, "error": None}, Extent(**extent))["result"]


def test_a_short_answer_is_untouched() -> None:
    result = [{"name": "a", "omitted": {}}]
    assert cut(result, place=()) == result


def test_of_an_output_beginning_and_end_are_kept_with_the_count_of_all_between() -> None:
    whole = "".join(f"line {number}\n" for number in range(100_000)) + "FAILED\n"
    result = ExecResult(exit_code=1, stdout=whole, stderr="", duration_s=1, timed_out=False).model_dump(mode="json")
    shown = cut(result)
    assert shown["stdout"].startswith("line 0\nline 1\n")
    assert shown["stdout"].endswith("line 99999\nFAILED\n")
    assert shown["stdout_truncated"] is True
    kept = shown["stdout"].replace(omission_note(shown["stdout_omitted_bytes"]), "")
    assert len(kept) + shown["stdout_omitted_bytes"] == len(whole)


def test_an_output_that_was_cut_before_is_cut_at_the_same_place_and_counted_whole() -> None:
    text = "a" * 500_000 + omission_note(7_000_000) + "z" * 500_000
    result = {"stdout": text, "stdout_omitted_bytes": 7_000_000, "stdout_truncated": True}
    shown = cut(result)
    head, tail = shown["stdout"].split(omission_note(shown["stdout_omitted_bytes"]))
    assert (set(head), set(tail)) == ({"a"}, {"z"})
    assert len(head + tail) + shown["stdout_omitted_bytes"] == 8_000_000


def test_of_lines_beginning_and_end_are_kept() -> None:
    lines = [f"line {number:06}" for number in range(20_000)]
    shown = cut({"n1": {"lines": lines, "omitted_lines": 5, "omitted": {}}})["n1"]
    half = len(shown["lines"]) // 2
    assert shown["lines"][:half] == lines[:half]
    assert shown["lines"][-half:] == lines[-half:]
    assert shown["omitted_lines"] == 20_005 - len(shown["lines"])


def test_the_rest_of_a_list_can_be_asked_for_until_everything_was_there() -> None:
    items = [{"name": f"item {number}", "text": "x" * 300, "omitted": {}} for number in range(500)]
    seen: list[str] = []
    while len(seen) < len(items):
        page = cut(items, place=(), offset=len(seen))
        seen += [item["name"] for item in page]
        assert page[-1]["omitted"].get("following", 0) == len(items) - len(seen)
    assert seen == [item["name"] for item in items]


def test_a_page_that_does_not_fit_counts_all_that_follows() -> None:
    items = [{"name": f"item {number}", "text": "x" * 300, "omitted": {}} for number in range(500)]
    page = cut(items, place=(), offset=100, limit=300)
    assert page[-1]["omitted"]["following"] == 400 - len(page) > 100


def test_the_rest_of_each_nodes_lines_can_be_asked_for() -> None:
    logs = {node: {"lines": [f"{node} {n}" for n in range(9000)], "omitted_lines": 0, "omitted": {}} for node in "ab"}
    page = cut(logs, place=("*", "lines"), offset=4000, limit=10)
    assert page["a"]["lines"] == [f"a {number}" for number in range(4000, 4010)]
    assert page["b"]["omitted_lines"] == 9000 - 4010
    long = cut(logs, place=("*", "lines"), offset=4000)
    count = len(long["a"]["lines"])
    assert long["a"]["lines"] == [f"a {number}" for number in range(4000, 4000 + count)]
    assert long["a"]["omitted_lines"] == 5000 - count


def test_nodes_on_which_a_command_failed_are_shown_before_others() -> None:
    results = {f"n{number}": {"exit_code": 0, "stdout": "x" * 500} for number in range(300)}
    shown = cut({"results": results, "failed_nodes": ["n299", "n150"], "omitted": {}})
    assert {"n299", "n150"} < set(shown["results"])
    assert shown["omitted"] == {"results": 300 - len(shown["results"])}


def test_nodes_whose_kernels_are_in_trouble_are_shown_before_others() -> None:
    lines = [f"line {number}" for number in range(50)]
    logs = {
        f"n{n}": {"lines": lines, "error_count": int(n == 200), "omitted_lines": 0, "omitted": {}} for n in range(300)
    }
    shown = cut(logs, place=("*", "lines"))
    assert "n200" in shown
    assert [*shown.values()][-1]["omitted"]["following"] == 300 - len(shown) > 0


def test_an_error_of_many_nodes_is_cut_as_well() -> None:
    error = {"code": "PARTIAL_FAILURE", "message": "node: no\n" * 50_000}
    shown = abridged({"success": False, "result": None, "error": error}, Extent())
    assert len(shown["error"]["message"]) < DEFAULT_BYTES
    assert "omitted" in shown["error"]["message"]


def test_a_client_that_asks_for_more_gets_more() -> None:
    lines = [f"line {number:06}" for number in range(20_000)]
    result = {"lines": lines, "omitted_lines": 0, "omitted": {}}
    assert cut(result, length_bytes=10_000_000) == result
    assert len(cut(result, length_bytes=400_000)["lines"]) > 9 * len(cut(result)["lines"])
