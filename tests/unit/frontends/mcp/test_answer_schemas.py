"""The output schemas that are made together are what each would be by itself."""

from typing import get_type_hints

from reconciler.frontends.mcp.answer_schemas import answer_schemas
from reconciler.frontends.mcp.tools import TOOLS


def test_an_answer_has_the_same_schema_alone_and_among_all_others() -> None:
    together = answer_schemas(get_type_hints(tool.function)["return"] for tool in TOOLS)
    assert len(together) > 20
    for answer, schema in together.items():
        assert answer_schemas([answer]) == {answer: schema}
        alone = answer.model_json_schema(mode="serialization")
        assert schema.keys() == alone.keys() - {"title", "description"} | {"required"}
        assert schema["$defs"].keys() == alone["$defs"].keys()
        assert schema["required"] == list(alone["properties"])
