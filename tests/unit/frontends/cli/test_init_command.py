"""The first topology that a new user writes."""

import io
import sys
from pathlib import Path

import pytest
import typer
import yaml

from reconciler.frontends.cli import init_command
from reconciler.model.topology import VirtType

from .conftest import Invoke


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def test_a_topology_by_options_passes_its_check(invoke: Invoke, here: Path) -> None:
    ended = invoke("init", "--name", "lab", "--nodes", "5", "--memory", "1024", "--vcpus", "2", "--image", "/nowhere")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("still missing here: base_image: ")
    assert ended.err.endswith("wrote lab.yaml; then: vmcluster apply ./lab.yaml\n")
    written = yaml.safe_load((here / "lab.yaml").read_text())
    assert [(node["name"], node["memory_mb"], node["vcpus"]) for node in written["nodes"]] == [
        (f"n{index}", 1024, 2) for index in range(5)
    ]
    assert invoke("validate", "--file-only", "lab.yaml").code == 0


def test_the_image_is_named_as_setup_names_it(invoke: Invoke) -> None:
    assert yaml.safe_load(invoke("init", "-").out)["base_image"] == "base"


@pytest.mark.parametrize("virt_type", VirtType)
def test_every_kind_of_machine_can_be_asked_for(invoke: Invoke, virt_type: VirtType) -> None:
    written = yaml.safe_load(invoke("init", "-", "--virt-type", virt_type.value).out)
    assert written["virt_type"] == virt_type


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(invoke: Invoke, here: Path) -> None:
    (here / "mine.yaml").write_text("precious")
    ended = invoke("init", "mine.yaml")
    assert (ended.code, (here / "mine.yaml").read_text()) == (1, "precious")
    assert "--force" in ended.err
    assert invoke("init", "mine.yaml", "--force").code == 0
    assert yaml.safe_load((here / "mine.yaml").read_text())["cluster_name"] == "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "8"], "memory_mb: "),
        (["--vcpus", "0"], "vcpus: "),
        (["--name", "Not_A_Name"], "is not allowed"),
        (["--nodes", "100000"], "has room for 100000 nodes"),
        (["--image", "$HOME/x"], "base_image: "),
    ],
)
def test_what_a_topology_cannot_have_is_refused_once_before_a_file_is_written(
    invoke: Invoke, here: Path, options: list[str], said: str
) -> None:
    ended = invoke("init", "lab.yaml", *options)
    assert ended.code == 1
    assert ended.err.count(said) == 1
    assert list(here.iterdir()) == []


def test_a_terminal_is_asked_for_what_no_option_says(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"Number of nodes": 2, "Virtual CPUs of each node": 4}
    asked: list[str] = []

    def prompt(question: str, default: object, **_: object) -> object:
        asked.append(question)
        return answers.get(question, default)

    monkeypatch.setattr(init_command, "can_be_asked", lambda: True)
    monkeypatch.setattr(typer, "prompt", prompt)
    ended = invoke("init", "-", "--memory", "256")
    assert ended.code == 0
    assert asked == ["Name of the cluster", *answers, "Image of the nodes"]
    written = yaml.safe_load(ended.out)
    assert (written["cluster_name"], len(written["nodes"])) == ("lab", 2)
    assert (written["nodes"][0]["vcpus"], written["nodes"][0]["memory_mb"]) == (4, 256)


def test_an_answer_that_cannot_be_is_asked_for_again(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "can_be_asked", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("My Cluster\nmy-lab\ntwo\n0\n2\n\n\n\n"))
    ended = invoke("init", "-")
    assert "use lower-case letters, digits and inner hyphens, as in my-cluster" in ended.err
    assert ended.err.count("use a whole number, at least 1") == 2
    written = yaml.safe_load(ended.out[ended.out.index("# A topology") :])
    assert (written["cluster_name"], len(written["nodes"]), written["nodes"][0]["vcpus"]) == ("my-lab", 2, 1)


@pytest.mark.parametrize(("words", "answers"), [((), "\n"), (("lab.yaml",), "")])
def test_a_file_that_is_there_is_told_of_before_more_is_asked(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], answers: str
) -> None:
    (here / "lab.yaml").write_text("precious")
    monkeypatch.setattr(init_command, "can_be_asked", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    ended = invoke("init", *words)
    assert "lab.yaml is there already" in ended.err
    assert "Number of nodes" not in ended.err + ended.out


def test_the_next_command_can_be_pasted(invoke: Invoke) -> None:
    assert invoke("init", "my lab.yaml").err.endswith(": vmcluster apply './my lab.yaml'\n")
