"""What a server offers, and when it asks the user first: options, environment, configuration file."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult, ListRootsResult, Root
from pydantic import FileUrl

from reconciler.errors import ConfigurationInvalid
from reconciler.frontends.mcp.cluster_server import ClusterServer
from reconciler.frontends.mcp.mode import TOOLS_OF, Mode
from reconciler.frontends.mcp.mode import chosen_mode as chosen
from reconciler.frontends.mcp.server_options import options_of
from reconciler.frontends.mcp.tools import TOOLS
from reconciler.model.choices import Confirmation, Toolset
from tests.waiting import PATIENCE_S

from .conftest import Agent, agent_of


def chosen_mode(arguments: list[str]) -> Mode:
    return chosen(options_of(arguments))


ASKING = Mode(confirm=Confirmation.DESTRUCTIVE)
NEWEST = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}


def test_every_tool_is_in_a_toolset_and_toolsets_name_only_tools() -> None:
    assert {tool.name for tool in TOOLS} == frozenset().union(*TOOLS_OF.values())
    assert TOOLS_OF.keys() == set(Toolset)


async def test_a_server_offers_what_its_mode_permits_and_says_why_it_does_not_offer_the_rest(
    configuration: dict[str, str],
) -> None:
    mode = Mode(read_only=True, toolsets=frozenset({Toolset.EXEC, Toolset.SNAPSHOT}))
    async with Client(ClusterServer(mode), cache=None) as client:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        assert offered == {
            "cluster_list",
            "cluster_status",
            "cluster_handle",
            "job_status",
            "job_output",
            "snapshot_list",
            "snapshot_tree",
        }
        assert (await client.call_tool("cluster_list", {})).is_error is False
        for tool, why in (("node_exec", "read-only"), ("dmesg_collect", "toolsets exec, snapshot only"), ("x", "Unkn")):
            with pytest.raises(Exception, match=why):
                await client.call_tool(tool, {"cluster_name": "lab"})
        words = str(client.instructions).splitlines()[-1]
        assert "only tools that change nothing and only the toolsets exec, snapshot" in words


async def test_a_remedy_that_names_a_tool_which_is_switched_off_says_so(configuration: dict[str, str]) -> None:
    async with Client(ClusterServer(Mode(toolsets=frozenset({Toolset.EXEC}))), cache=None) as client:
        agent = await agent_of(client)
        said = await agent.call("node_exec", cluster_name="lab", node_name="n0", command="true")
        assert "`cluster_define` creates one" in said["error"]["message"]
        missing = "switched off on this server: cluster_adopt, cluster_define: ask your user"
        assert said["error"]["message"].endswith(missing)
        assert said["next"] == 'cluster_status(cluster_name="lab")' or said["next"] == "cluster_list()"
        with pytest.raises(Exception, match=missing):
            await client.read_resource("vmcluster://clusters/lab/status")


def test_options_beat_the_environment_which_beats_the_file(
    configuration: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen_mode([]) == Mode()
    file = Path(configuration["HOME"], "config.yaml")
    monkeypatch.setenv("VMCLUSTER_CONFIG", str(file))
    file.write_text("mcp_toolsets: [fault, observe]\nmcp_confirm: destructive\n")
    assert chosen_mode([]) == Mode(False, frozenset({Toolset.FAULT, Toolset.OBSERVE}), Confirmation.DESTRUCTIVE)
    file.write_text('"\\x6dcp_read_only": true\n')
    assert chosen_mode([]).read_only, "also where the key is escaped"
    monkeypatch.setenv("VMCLUSTER_MCP_TOOLSETS", "exec")
    assert chosen_mode(["--confirm", "destructive"]) == Mode(True, frozenset({Toolset.EXEC}), Confirmation.DESTRUCTIVE)
    assert chosen_mode(["--toolsets", "Lifecycle, fault"]).toolsets == frozenset({Toolset.LIFECYCLE, Toolset.FAULT})
    file.write_text("mcp_read_only: maybe\n")
    with pytest.raises(ConfigurationInvalid, match="mcp_read_only"):
        chosen_mode(["--read-only"])


@pytest.mark.parametrize("wrong", [["--toolsets", "exec,all"], ["--toolsets", ","], ["--confirm"], ["--read"], ["x"]])
def test_a_wrong_option_starts_no_server(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chosen_mode(wrong)
    assert ended.value.code == 2
    assert "vmcluster-mcp: error: " in capsys.readouterr().err


class User:
    """Who answers the client's forms: `content` is what they fill in, None if they decline."""

    def __init__(self, content: dict[str, Any] | None) -> None:
        self.content, self.asked = content, list[str]()

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action="decline" if self.content is None else "accept", content=self.content)


async def _roots(_: ClientRequestContext) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///nowhere"))])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_destructive_call_is_made_when_the_user_says_yes_and_only_then(
    configuration: dict[str, str], mode: Any
) -> None:
    answers: tuple[Any, ...] = ({"confirm": True}, {"confirm": False}, {}, None)
    for content, code in zip(answers, ("CLUSTER_NOT_FOUND", *["APPROVAL_REQUIRED"] * 3), strict=True):
        user = User(content)
        async with Client(ClusterServer(ASKING), cache=None, mode=mode, elicitation_callback=user) as client:
            agent = await agent_of(client)
            envelope = await agent.call("node_exec", cluster_name="lab", node_name="n", command="rm\n\x1b[2J -rf /")
            assert envelope["error"]["code"] == code
            assert user.asked == [
                'Allow node_exec to run?\n  cluster_name: "lab"\n  node_name: "n"\n  command: "rm\\n\\u001b[2J -rf /"'
            ]
            assert (await agent.call("cluster_list"))["success"]
            assert len(user.asked) == 1, "only destructive tools are asked about"
            assert (await agent.call("cluster_stop"))["error"]["code"] == "INVALID_ARGUMENT"
            assert len(user.asked) == 1, "nobody is asked about a call that is refused anyway"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_roots_and_confirmation_are_asked_for_together(configuration: dict[str, str], mode: Any) -> None:
    user = User({"confirm": True})
    server, roots = ClusterServer(ASKING), cast("Any", _roots)
    async with Client(server, cache=None, mode=mode, elicitation_callback=user, list_roots_callback=roots) as client:
        said = await (await agent_of(client)).call(
            "node_push", cluster_name="lab", source_path="/etc/hostname", dest_path="/x"
        )
    assert "`host_read_roots` allows: /nowhere," in said["error"]["message"]
    assert len(user.asked) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_cannot_ask_its_user_is_refused(configuration: dict[str, str], mode: Any) -> None:
    async with Client(ClusterServer(ASKING), cache=None, mode=mode) as client:
        agent: Agent = await agent_of(client)
        for tool in ("cluster_stop", "cluster_destroy"):
            error = (await agent.call(tool, cluster_name="lab"))["error"]
            assert error["code"] == "APPROVAL_REQUIRED"
            assert f"{tool} is destructive" in error["message"]
            assert "the client cannot" in error["message"]
            assert "--" not in error["message"], "how to have nobody asked is the user's to know"
        assert (await agent.call("cluster_start", cluster_name="lab"))["error"]["code"] == "CLUSTER_NOT_FOUND"


def test_a_long_argument_is_shown_with_what_is_not_shown() -> None:
    from reconciler.frontends.mcp.asking_first import question

    message = question("node_exec", {"command": "a" * 5000 + "; rm -rf /"}).params.message
    assert len(message) < 2200
    assert " … 3012 characters are not shown … " in message
    assert message.endswith('; rm -rf /"')


def raw(options: Iterable[str], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What a server process answers to requests, by `id`."""
    command = [sys.executable, "-m", "reconciler", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        server.stdin.flush()
        said = [json.loads(server.stdout.readline()) for _ in messages]
        server.stdin.close()
        assert server.wait(PATIENCE_S) == 0
    return sorted(said, key=lambda answer: str(answer["id"]))


@pytest.mark.long
@pytest.mark.processes
def test_the_newest_revision_answers_with_the_question_and_takes_an_answer_to_nothing_else(
    configuration: dict[str, str],
) -> None:
    def stop(identity: int, **more: Any) -> dict[str, Any]:
        params = {"name": "cluster_stop", "arguments": {"cluster_name": "lab"}, "_meta": NEWEST, **more}
        return {"id": identity, "method": "tools/call", "params": params}

    yes = {"confirm": {"action": "accept", "content": {"confirm": True}}}
    options = ["--confirm", "destructive", "--toolsets", "lifecycle"]
    listed, asked, unasked = raw(
        options,
        {"id": 1, "method": "tools/list", "params": {"_meta": NEWEST}},
        stop(2),
        stop(3, inputResponses=yes),
    )
    assert "node_exec" not in {tool["name"] for tool in listed["result"]["tools"]}
    for answer in (asked, unasked):  # an answer to a question that was never put is none
        result = answer["result"]
        assert result["resultType"] == "input_required"
        assert result["requestState"]
        assert result["inputRequests"]["confirm"]["method"] == "elicitation/create"
        assert 'cluster_name: "lab"' in result["inputRequests"]["confirm"]["params"]["message"]


YES: dict[str, Any] = {"result": {"action": "accept", "content": {"confirm": True}}}
SAYS_NO: tuple[dict[str, Any], ...] = (
    {"result": {"action": "accept", "content": {"confirm": False}}},
    {"result": {"action": "accept", "content": {}}},
    {"result": {"action": "accept"}},
    {"result": {"action": "accept", "content": {"confirm": "yes"}}},
    {"result": {"action": "decline", "content": {"confirm": True}}},
    {"result": {"action": "cancel"}},
    {"result": {}},
    {"error": {"code": -32603, "message": "the user is away"}},
)


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
def test_an_older_revision_is_asked_during_the_call_and_only_a_yes_is_one(
    configuration: dict[str, str], revision: str
) -> None:
    command = [sys.executable, "-m", "reconciler", "--confirm", "destructive"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout

        def say(**message: Any) -> None:
            assert server.stdin
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        def hear() -> dict[str, Any]:
            assert server.stdout
            said: dict[str, Any] = json.loads(server.stdout.readline())
            return said

        able: dict[str, Any] = {"elicitation": {}} if revision == "2025-06-18" else {"elicitation": {"form": {}}}
        client = {"name": "raw", "version": "1"}
        say(id=0, method="initialize", params={"protocolVersion": revision, "capabilities": able, "clientInfo": client})
        assert hear()["result"]["protocolVersion"] == revision
        say(method="notifications/initialized")
        for number, (answer, code) in enumerate(
            [(YES, "CLUSTER_NOT_FOUND"), *((no, "APPROVAL_REQUIRED") for no in SAYS_NO), (YES, "CLUSTER_NOT_FOUND")], 1
        ):
            arguments = {"cluster_name": "lab", "remove_overlays": True}
            say(id=number, method="tools/call", params={"name": "cluster_destroy", "arguments": arguments})
            asked = hear()
            assert asked["method"] == "elicitation/create", asked
            assert "remove_overlays: true" in asked["params"]["message"]
            assert asked["params"]["requestedSchema"]["properties"].keys() == {"confirm"}
            say(id=asked["id"], **answer)
            done = hear()
            assert done["id"] == number
            assert done["result"]["structuredContent"]["error"]["code"] == code, answer
        server.stdin.close()
        assert server.wait(PATIENCE_S) == 0


async def test_one_yes_permits_one_call(configuration: dict[str, str]) -> None:
    from mcp_types import CallToolResult, InputRequiredResult

    async with Client(ClusterServer(ASKING), cache=None, elicitation_callback=User(None)) as client:
        first = await client.session.call_tool("cluster_stop", {"cluster_name": "lab"}, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        yes: Any = {"confirm": ElicitResult(action="accept", content={"confirm": True})}

        async def again(name: str) -> Any:
            return await client.session.call_tool(
                "cluster_stop",
                {"cluster_name": name},
                input_responses=yes,
                request_state=first.request_state,
                allow_input_required=True,
            )

        with pytest.raises(Exception, match="request"):
            await again("other")
        done = await again("lab")
        assert isinstance(done, CallToolResult)
        assert "CLUSTER_NOT_FOUND" in str(done.content)
        assert isinstance(await again("lab"), InputRequiredResult)
