"""How commands end: exit codes, errors for people and for programs, and a quiet end where one is due."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from reconciler.frontends.cli import other_words
from reconciler.frontends.cli.app import app
from reconciler.model.record import ClusterRecord
from tests.waiting import PATIENCE_S

from .conftest import Invoke, environment

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[4]
COMMAND = [sys.executable, "-c", "from reconciler.frontends.cli.app import main; main()"]
HOSTILE = "\x1b[2J\x9b31m\u202e../../etc\n"


def test_no_clusters_say_how_to_make_one(invoke: Invoke) -> None:
    ended = invoke("list")
    assert (ended.code, ended.out) == (0, "no clusters; create one with `vmcluster apply TOPOLOGY`\n")


def test_a_list_as_data_is_the_result_itself(invoke: Invoke, lab: ClusterRecord) -> None:
    (cluster,) = invoke("list", "-o", "json").data
    assert [node["name"] for node in cluster["nodes"]] == ["zeta", "alpha"]
    assert cluster["node_count"] == 2
    assert (cluster["cluster_name"], cluster["generation"], cluster["destroyed"]) == ("lab", 1, False)
    (other,) = yaml.safe_load(invoke("status", "-o", "yaml").out)
    assert {**other, "conditions": None} == {**cluster, "conditions": None}


def test_an_unknown_cluster_is_an_error_with_its_remedy_on_stderr(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("status", "nope")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined\n  defined clusters: lab\n"


def test_an_unknown_cluster_whose_topology_is_there_is_created_by_the_command_that_is_named(
    invoke: Invoke, lab: ClusterRecord, tmp_path: Path
) -> None:
    (tmp_path / "nope.yaml").touch()
    ended = invoke("start", "nope")
    assert ended.err == (
        "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined\n"
        "  defined clusters: lab; `vmcluster apply nope` creates it from the topology of that name\n"
    )


def test_an_error_for_programs_is_the_error_of_the_envelope(invoke: Invoke) -> None:
    ended = invoke("status", "nope", "-o", "json")
    assert ended.code == 1
    assert ended.data == {
        "code": "CLUSTER_NOT_FOUND",
        "message": "no cluster named 'nope' is defined (defined clusters: none; if its record was lost, "
        "`vmcluster adopt nope` rebuilds it from the host)",
        "node": None,
        "recoverable": False,
    }


@pytest.mark.parametrize("command", ["status", "start", "handle", "stop"])
def test_a_libvirt_that_is_not_there_is_named_without_a_trace(invoke: Invoke, lab: ClusterRecord, command: str) -> None:
    options = ["--timeout", "0.1"] if command == "stop" else []
    ended = invoke(command, "lab", *options)
    assert ended.code == 1
    assert "error [LIBVIRT_UNAVAILABLE]" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["plan"],
        ["status", "--bogus"],
        ["status", "-o", "xml"],
        ["stop", "lab", "--mode", "gently"],
        ["start", "lab", "--timeout", "-1"],
        ["image", "build", "there/"],
        ["push", "lab", "/etc", "/there", "--timeout", "0"],
        ["dmesg", "collect", "lab", "--timeout", "nan"],
        ["console", "lab", "alpha", "--follow", "-o", "json"],
    ],
)
def test_a_wrong_command_line_exits_1_because_2_says_that_a_plan_has_changes(
    invoke: Invoke, arguments: list[str]
) -> None:
    ended = invoke(*arguments)
    assert (ended.code, ended.out == "") == (1, "json" not in arguments)
    assert "Error: " in ended.err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("exec", "Missing argument"),
        ("exec lab alpha", "name a node"),
        ("exec lab --all --nodes alpha -- true", "either --all or --nodes"),
        ("exec lab --nodes , -- true", "does not name any node"),
        ("exec lab alpha --env NAME -- true", "not NAME=VALUE"),
        ("exec lab alpha --timeout abc -- true", "'--timeout'"),
        ("exec lab alpha --timeout 0 -- true", "0 is not greater than 0"),
        ("exec lab alpha --bogus -- true", "--bogus"),
        ("exec lab alpha ls --all", "put -- before the command"),
        ("ssh lab alpha top -t", "put -- before the command"),
        ("ssh lab", "Missing argument"),
    ],
)
def test_a_wrong_command_line_exits_255_where_the_codes_below_are_a_remote_commands(
    invoke: Invoke, words: str, problem: str
) -> None:
    ended = invoke(*words.split())
    assert (ended.code, ended.out) == (255, "")
    assert problem in ended.err


def test_what_is_wrong_with_the_configuration_is_one_error(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMCLUSTER_LOG_LEVEL", "LOUD")
    ended = invoke("list")
    assert ended.code == 1
    assert ended.err.startswith("error [CONFIGURATION_INVALID]: environment variable VMCLUSTER_LOG_LEVEL")


def test_a_topology_that_is_not_there_is_an_error_of_plan_and_apply(invoke: Invoke) -> None:
    for command in ("plan", "apply"):
        ended = invoke(command, "nope")
        assert ended.code == 1
        assert "error [TOPOLOGY_NOT_FOUND]" in ended.err


def test_every_problem_of_a_topology_is_shown_on_its_line(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("cluster_name: UPPER\nbase_image: /nope\nnodes: []\nbogus: 1\n")
    ended = invoke("apply", "broken")
    assert ended.code == 1
    assert ended.err.startswith("error [TOPOLOGY_INVALID]: ")
    assert len([line for line in ended.err.splitlines() if "broken.yaml" in line or "line" in line]) >= 3


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--attach", "needs a terminal; `vmcluster logs` shows"),
        ("--force", "needs --attach"),
        ("-a -f", "--follow: cannot be used with"),
        ("-a -o json", "cannot be used with"),
        ("-n 0", "'--tail'"),
    ],
)
def test_a_serial_line_is_for_a_person_at_a_terminal(
    invoke: Invoke, lab: ClusterRecord, words: str, problem: str
) -> None:
    ended = invoke("console", "lab", "alpha", *words.split())
    assert (ended.code, ended.out == "") == (1, "json" not in words)
    assert problem in ended.err


def test_logs_are_those_of_the_console(invoke: Invoke, lab: ClusterRecord) -> None:
    shown = [invoke(command, "lab", "alpha") for command in ("logs", "console")]
    assert shown[0] == shown[1]
    assert "the console log" in shown[0].err


def test_a_file_is_validated_whole_without_libvirt_and_without_its_images(invoke: Invoke, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("cluster_name: UPPER\nbase_image: /nope\nnodes: []\nbogus: 1\n")
    ended = invoke("validate", str(broken))
    assert (ended.code, ended.err) == (1, "")
    assert {line.split(":")[1] for line in ended.out.splitlines() if line.startswith(f"{broken}:")} >= {"1", "2", "4"}
    found = invoke("validate", "broken", "-o", "json").data
    assert (found["file"], found["valid"]) == (str(broken), False)
    assert {"cluster_name": 1, "base_image": 2, "bogus": 4}.items() <= {
        problem["path"]: problem["line"] for problem in found["problems"]
    }.items()
    assert invoke("validate", "nope").err.startswith("error [TOPOLOGY_NOT_FOUND]")
    whole = tmp_path / "whole.yaml"
    text = Path("specs/topologies/minimal.yaml").read_text()
    whole.write_text(text.replace("/var/lib/vmcluster/images/base.qcow2", str(tmp_path / "nowhere.qcow2")))
    assert invoke("validate", str(whole), "--file-only").out == f"{whole}: valid\n"
    of_host = invoke("validate", str(whole), "-o", "json")
    assert of_host.code == 1
    assert "IMAGE_NOT_FOUND" in {problem["code"] for problem in of_host.data["problems"]}


@pytest.mark.parametrize("command", ["status", "start", "stop", "destroy", "handle", "history", "plan", "apply"])
def test_hostile_names_neither_break_a_command_nor_reach_the_terminal_raw(invoke: Invoke, command: str) -> None:
    for name in (HOSTILE, "\udcff", "a" * 5000, "", "'; DROP TABLE records; --"):
        ended = invoke(command, name)
        assert ended.code == 1
        assert "INTERNAL_ERROR" not in ended.err
        assert not set(ended.err) & {"\x1b", "\x9b", "\u202e"}


def test_deleting_disks_needs_a_yes_where_nobody_can_be_asked(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("destroy", "lab", "--remove-overlays")
    assert ended.code == 1
    assert (
        ended.err
        == "error [APPROVAL_REQUIRED]: the disks of 'lab' would be deleted permanently\n  pass `--yes` to confirm\n"
    )
    assert invoke("list", "-o", "json").data[0]["destroyed"] is False


def test_a_command_in_a_node_that_could_not_be_run_exits_255(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("exec", "lab", "nope", "--", "true")
    assert ended.code == 255
    assert "error [NODE_NOT_FOUND] nope: " in ended.err


@pytest.mark.parametrize("words", ["exec lab nope uname -r", "ssh lab nope ls -la", "exec lab nope df -h"])
def test_a_remote_command_keeps_its_options_without_two_dashes(invoke: Invoke, lab: ClusterRecord, words: str) -> None:
    assert "error [NODE_NOT_FOUND] nope: " in invoke(*words.split()).err


@pytest.mark.parametrize(
    "words", ["exec lab all -- true", "ssh lab all", "console lab all", "crash lab all", "pull lab all /etc/motd motd"]
)
def test_all_is_not_the_name_of_a_node(invoke: Invoke, lab: ClusterRecord, words: str) -> None:
    ended = invoke(*words.split())
    assert ended.code != 0
    assert "NODE_NOT_FOUND" in ended.err
    assert ("--all" in ended.err) == words.startswith("exec")


def test_a_relative_place_on_nodes_is_refused_before_anything_is_looked_at(invoke: Invoke, tmp_path: Path) -> None:
    ended = invoke("push", "lab", str(tmp_path), "relative")
    assert ended.code == 1
    assert "error [INVALID_ARGUMENT]: 'relative' is not an absolute path" in ended.err


@pytest.mark.parametrize("command", ["history", "events", "events --follow"])
def test_a_cluster_that_never_was_has_neither_a_history_nor_events(
    invoke: Invoke, lab: ClusterRecord, command: str
) -> None:
    assert invoke("events", "lab").code == 0
    ended = invoke(*command.split(), "nope")
    assert ended.code == 1
    assert "error [CLUSTER_NOT_FOUND]: no cluster named 'nope' is defined" in ended.err


def test_the_history_of_a_cluster_names_who_changed_what(invoke: Invoke, lab: ClusterRecord) -> None:
    ended = invoke("history", "lab")
    generation, *_, actor, sign, what = ended.out.splitlines()[1].split(maxsplit=5)
    assert (generation, actor, f"{sign} {what}") == ("1", "test", "+ cluster of 2 nodes")
    (change,) = invoke("history", "lab", "-o", "json").data
    assert (change["patch"][0]["op"], change["changes"]) == ("replace", ["+ cluster of 2 nodes"])


def test_the_words_of_other_tools_are_answered_with_commands_that_there_are() -> None:
    group: Any = typer.main.get_command(app)
    for name, words in other_words.OTHER_WORDS.items():
        commands = (group if name == "vmcluster" else group.commands[name]).commands
        assert not words.keys() & commands.keys()
        assert {word for word in words.values() if not word.startswith("--")} <= commands.keys()


def test_the_version_is_the_packages(invoke: Invoke) -> None:
    from reconciler import __version__

    assert invoke("--version").out == invoke("version").out == f"vmcluster {__version__}\n"


@pytest.mark.processes
@pytest.mark.parametrize(("arguments", "unbuffered"), [(["list", "-o", "json"], ""), (["list", "--help"], "1")])
def test_a_reader_that_goes_away_ends_the_command_quietly(
    tmp_path: Path, arguments: list[str], unbuffered: str
) -> None:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env={**environment(tmp_path), "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=PATIENCE_S) == 141


@pytest.mark.processes
@pytest.mark.parametrize("arguments", [["list"], ["list", "-o", "json"], ["--help"], ["--version"]], ids=" ".join)
def test_output_that_cannot_be_written_is_an_error_in_a_line(tmp_path: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*COMMAND, *arguments],
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "error: the output cannot be written: No space left on device\n"


@pytest.mark.processes
@pytest.mark.parametrize(("streams", "said"), [(">&-", ""), ("2>&-", "no clusters"), ("<&- >&- 2>&-", "")])
def test_a_command_does_its_work_with_closed_streams(tmp_path: Path, streams: str, said: str) -> None:
    code = f'exec "$@" list {streams}'
    ended = subprocess.run(
        ["sh", "-c", code, "sh", *COMMAND], env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(said)
    assert (tmp_path / "state").is_dir()


@pytest.mark.processes
def test_a_current_directory_that_is_gone_is_named(tmp_path: Path) -> None:
    code = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    for arguments in (["validate", "-"], ["artifact", "register", "."]):
        ended = subprocess.run(
            ["sh", "-c", code, "sh", *COMMAND, *arguments],
            env=environment(tmp_path) | {"PYTHONPATH": str(REPOSITORY)},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "the current directory is gone" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.processes
def test_an_interrupted_change_says_that_it_is_recorded(tmp_path: Path, lab: ClusterRecord) -> None:
    with subprocess.Popen(
        [*COMMAND, "stop", "lab"],
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round_failed" in line:  # it tries again, and again
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=PATIENCE_S) == 130, rest
    assert "interrupted; the change is recorded: continue with `vmcluster apply` or `vmcluster start`" in rest
    assert "Traceback" not in rest


NEEDED_BY_FEW = (
    "aetcd",
    "asyncssh",
    "grpc",
    "lxml",
    "mcp",
    "prometheus_client",
    "pycdlib",
    "starlette",
    "uvicorn",
    "zstandard",
)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("word", "said", "heavy"),
    [
        ("--help", "apply", {*NEEDED_BY_FEW, "libvirt", "pydantic", "rich", "structlog", "yaml"}),
        ("list", "lab", {*NEEDED_BY_FEW, "reconciler.usecases.clusters", "reconciler.usecases.transfers"}),
    ],
)
@pytest.mark.usefixtures("lab")
def test_a_command_imports_nothing_that_only_others_need(word: str, said: str, heavy: set[str]) -> None:
    script = (
        "import sys; from reconciler.frontends.cli.app import run_command_line; code = run_command_line(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True, check=True)
    assert said in ended.stdout
    assert heavy.isdisjoint(ended.stderr.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list", "--nope", "-o", "json"], 1, "No such option: --nope"),
        (["nope", "-ojson"], 1, "No such command 'nope'."),
        (["delete", "lab", "-ojson"], 1, "No such command 'delete'. Did you mean 'destroy'?"),
        (["snapshot", "restore", "lab", "-ojson"], 1, "No such command 'restore'. Did you mean 'revert'?"),
        (["fault", "rm", "lab", "-ojson"], 1, "No such command 'rm'. Did you mean 'heal'?"),
        (["staus", "-ojson"], 1, "No such command 'staus'. Did you mean 'status'"),
        (["crash", "--output=json"], 1, "Missing argument 'CLUSTER'."),
        (["events", "-fo", "json", "a", "b"], 1, "Got unexpected extra argument(s) (b)"),
        (["status", "-o", "table", "-o", "json", "\udcff"], 1, "\\udcff is not valid UTF-8"),
        (["exec", "lab", "-o", "json", "--timeout", "x", "n0", "true"], 255, "Invalid value for '--timeout'"),
        (["exec", "lab", "-o", "json", "--all"], 255, "name a command to run"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_an_error_for_programs_too(
    invoke: Invoke, words: list[str], code: int, said: str
) -> None:
    ended = invoke(*words)
    assert ended.code == code
    error = json.loads(ended.out)
    assert said in error.pop("message")
    assert error == {"code": "INVALID_ARGUMENT", "node": None, "recoverable": False}
    assert ended.err.startswith("Usage: vmcluster")


@pytest.mark.parametrize("words", [["exec", "lab", "n0", "--", "ls", "-o", "json"], ["list", "--nope"]])
def test_a_format_that_is_not_asked_of_vmcluster_is_not_used(invoke: Invoke, words: list[str]) -> None:
    assert invoke(*words).out == ""


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["exec"], "exec [OPTIONS] CLUSTER [NODE] [--] COMMAND..."),
        (["fault", "impair"], "fault impair [OPTIONS] CLUSTER SOURCE [TARGET]..."),
        (["snapshot", "verify"], "snapshot verify [OPTIONS] CLUSTER [NAME]"),
        (["apply"], "apply [OPTIONS] TOPOLOGY"),
    ],
)
def test_usage_shows_each_argument_once_and_brackets_what_may_be_left_out(
    invoke: Invoke, words: list[str], usage: str
) -> None:
    shown = invoke(*words, "--help").out
    assert shown.splitlines()[0] == f"Usage: vmcluster {usage}"
    assert not re.search(r"<str>|<list|required|\[\[", shown)


def test_every_line_of_a_list_of_commands_is_whole_in_eighty_columns(invoke: Invoke) -> None:
    for group in ("", "artifact", "dmesg", "fault", "image", "snapshot", "store"):
        lines = invoke(*group.split(), "--help").out.partition("Commands:")[2].splitlines()
        assert lines
        assert [line for line in lines if line.endswith("...")] == []


def test_a_screenshot_of_a_node_without_a_screen_writes_no_file(
    invoke: Invoke, lab: ClusterRecord, tmp_path: Path
) -> None:
    ended = invoke("screenshot", "lab", "alpha", "-o", str(tmp_path / "screen.png"))
    assert ended.code == 1
    assert "`video: true`" in ended.err
    assert "`vmcluster apply TOPOLOGY --allow-restart`" in ended.err
    assert not (tmp_path / "screen.png").exists()
    assert invoke("graph", "nope", "-o", "svg").code == 1
