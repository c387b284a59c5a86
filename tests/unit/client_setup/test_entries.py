"""Entries in configurations as people write them: nothing that was there changes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.client_setup.json_entries import json_data, with_json_entry
from reconciler.client_setup.mcp_clients import CLIENTS, SERVER_NAME
from reconciler.client_setup.toml_entries import toml_data, with_toml_entry

ENTRY = {"command": "/opt/vmcluster-mcp", "args": ["--read-only"]}
KEYS = st.text(max_size=4) | st.just("mcpServers")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
COMMENTED = """\
// My servers
{
    /* kept */ "theme": "dark", // at night
    "mcpServers": { // all of them
        // the one from work
        "work": {"command": "npx", "args": ["a // no comment", "b /* nor this */",],},
    },
}
// the end
"""


def added(before: str, after: str) -> str:
    """What was put into a text, which otherwise is unchanged."""
    start = next((at for at, pair in enumerate(zip(before, after, strict=False)) if len(set(pair)) > 1), len(before))
    more = len(after) - len(before)
    while before[start:] != after[start + more :]:
        start -= 1
        assert start >= 0, "something else was changed"
    return after[start : start + more]


def test_an_entry_is_added_among_comments_and_trailing_commas() -> None:
    after = with_json_entry(COMMENTED, "mcpServers", "vmcluster", ENTRY)
    assert added(COMMENTED, after).strip().endswith("},")
    assert json_data(after)["mcpServers"] == {"vmcluster": ENTRY, **json_data(COMMENTED)["mcpServers"]}
    assert '"mcpServers": { // all of them\n        "vmcluster": {\n            "command"' in after
    assert '},\n        // the one from work\n        "work"' in after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "mcpServers": {\n    "s": {\n      "command": "c"\n    }\n  }\n}\n'),
        ("{}", '{\n  "mcpServers": {\n    "s": {\n      "command": "c"\n    }\n  }\n}'),
        ('{"a": 1}', '{"mcpServers": {"s": {"command": "c"}}, "a": 1}'),
        ('{ "a": 1 }', '{ "mcpServers": {"s": {"command": "c"}}, "a": 1 }'),
        ('{"mcpServers": {}}', '{"mcpServers": {\n  "s": {\n    "command": "c"\n  }\n}}'),
        ('{\n\t"mcpServers": {}\n}', '{\n\t"mcpServers": {\n\t\t"s": {\n\t\t\t"command": "c"\n\t\t}\n\t}\n}'),
        (
            '{\r\n    "a": 1\r\n}\r\n',
            '{\r\n    "mcpServers": {\r\n        "s": {\r\n            "command": "c"\r\n        }\r\n    },\r\n    "a": 1\r\n}\r\n',  # noqa: E501
        ),
        ('\ufeff{"a":1}', '\ufeff{"mcpServers": {"s": {"command": "c"}}, "a":1}'),
        ('{"mcpServers": {"b": 1}, "mcpServers": {"a": 1}}', None),
        ('{"other": {"mcpServers": {}}, "a": ["mcpServers"]}', None),
        ('{"mcp\\u0053ervers": {"a": {}}}', None),
    ],
)
def test_an_entry_is_written_as_the_text_around_it(before: str, after: str | None) -> None:
    result = with_json_entry(before, "mcpServers", "s", {"command": "c"})
    assert after is None or result == after
    added(before, result)
    assert json_data(result)["mcpServers"]["s"] == {"command": "c"}


@pytest.mark.parametrize(
    "broken",
    [
        '{"a": 1',
        '{"a": 1}}',
        "{'a': 1}",
        '{"a": /* never ends',
        '{"a": 1 "b": 2}',
        '{"a": "two\nlines"}',
        "{a: 1}",
        "[]",
        '"text"',
        "null",
        '{"a": ,}',
        "{,}",
        '{"mcpServers": []}',
        '{"mcpServers": null}',
        "[" * 100_000,
        '{"a": ' * 50_000,
    ],
)
def test_a_broken_configuration_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        with_json_entry(broken, "mcpServers", "vmcluster", ENTRY)


@given(
    data=st.dictionaries(KEYS, VALUES, max_size=4),
    servers=st.none() | st.dictionaries(st.text(max_size=4), VALUES, max_size=3),
    indent=st.none() | st.integers(0, 5) | st.just("\t"),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_was_there_is_there_afterwards(
    data: dict[str, Any], servers: dict[str, Any] | None, indent: int | str | None, newline: str
) -> None:
    data = {**data, "mcpServers": servers} if servers is not None else {**data, "mcpServers": {}}
    before = json.dumps(data, indent=indent).replace("\n", newline)
    after = with_json_entry(before, "mcpServers", "vmcluster", ENTRY)
    added(before, after)
    assert json.loads(after) == {**data, "mcpServers": {**data["mcpServers"], "vmcluster": ENTRY}}


@pytest.mark.parametrize(
    "before",
    [
        "",
        'model = "gpt"  # the best\n\n[mcp_servers.work]\ncommand = "npx"\n',
        'model = "gpt"',
        '[mcp_servers]\nwork = {command = "npx"}\n',
        'mcp_servers.work.command = "npx"\r\n',
        '[[list]]\na = 1\n[tui]\nb = """\n[mcp_servers.vmcluster]\n"""\n',
    ],
)
def test_a_table_is_added_at_the_end_of_toml(before: str) -> None:
    after = with_toml_entry(before, "mcp_servers", "vmcluster", ENTRY)
    assert after.startswith(before)
    servers = toml_data(before).get("mcp_servers", {})
    assert toml_data(after) == {**toml_data(before), "mcp_servers": {**servers, "vmcluster": ENTRY}}


@pytest.mark.parametrize(
    "broken", ["a = ", "mcp_servers = {}\n", "mcp_servers = 1\n", 'a = "b\n', "a = " + "[" * 100_000]
)
def test_toml_that_is_broken_or_leaves_no_room_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        with_toml_entry(broken, "mcp_servers", "vmcluster", ENTRY)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_finds_the_server_where_it_looks_for_servers(client: Any) -> None:
    command = ["sudo", "-n", "/opt/with space/vmcluster-mcp"]
    after = client.registered("", command)
    assert client.present("") is None
    assert client.present(after) == client.entry(command)
    assert client.present(after)["command"] == "sudo"
    assert SERVER_NAME in after
