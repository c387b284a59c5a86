"""A topology is found by name in its directory, or by path."""

from pathlib import Path

import pytest

from reconciler.desired.topology_files import find_topology, topology_names
from reconciler.errors import TopologyNotFound

from .files import settings_in


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("example-3node.yaml", "minimal.yaml", "notes.txt", "old.yml", "minimal.yml"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_name_with_or_without_its_ending_is_found_in_the_topology_directory(directory: Path) -> None:
    for name in ("minimal", "minimal.yaml"):
        assert find_topology(name, settings_in(directory)) == directory / "minimal.yaml"
    for name in ("old", "old.yml"):
        assert find_topology(name, settings_in(directory)) == directory / "old.yml"
    assert topology_names(settings_in(directory)) == ["example-3node", "minimal", "old"]


def test_what_holds_a_slash_is_a_path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(directory))
    elsewhere = settings_in(directory / "elsewhere")
    assert find_topology("./notes.txt", elsewhere) == Path("notes.txt")
    assert find_topology("~/minimal.yaml", elsewhere) == directory / "minimal.yaml"
    assert find_topology(directory / "minimal.yaml", elsewhere) == directory / "minimal.yaml"


def test_a_file_in_the_current_directory_goes_before_one_of_that_name_in_the_topology_directory(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / "minimal.yaml").touch()
    monkeypatch.chdir(here)
    assert find_topology("minimal.yaml", settings_in(directory)) == Path("minimal.yaml")
    assert find_topology("minimal", settings_in(directory)) == directory / "minimal.yaml"


def test_an_unknown_name_is_answered_with_what_there_is_and_what_was_meant(directory: Path) -> None:
    with pytest.raises(TopologyNotFound) as refusal:
        find_topology("exmaple-3node", settings_in(directory))
    assert "did you mean example-3node?" in str(refusal.value)
    assert "it contains: example-3node, minimal, old" in str(refusal.value)


@pytest.mark.parametrize("name", ["", "..", "../minimal", "/nowhere/x.yaml", "a\0b", "x" * 5000, "~nobody/x", "a b"])
def test_nothing_else_is_found(name: str, directory: Path) -> None:
    with pytest.raises(TopologyNotFound):
        find_topology(name, settings_in(directory / "minimal.yaml"))
    with pytest.raises(TopologyNotFound):
        find_topology(name, settings_in(directory))


def test_an_absent_topology_directory_holds_no_names(directory: Path) -> None:
    assert topology_names(settings_in(directory / "absent")) == []


def test_where_there_is_no_topology_at_all_any_file_may_be_named_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(TopologyNotFound, match=r"put a file NAME\.yaml there, or give the path of a file"):
        find_topology("nope", settings_in(tmp_path))


@pytest.mark.parametrize(
    ("typed", "there", "answer"),
    [
        ("my.yml", "my.yaml", "no file my.yml here, and no topology of that name in"),
        ("my.yml", "my.yaml", "did you mean my.yaml, a file here?"),
        ("my", "my.yml", "did you mean my.yml, a file here?"),
        ("my.json", "my.yaml", "did you mean my.yaml, a file here?"),
        ("my.YAML ", "my.yaml", "did you mean my.yaml, a file here?"),
        ("my.YAML", "my.YAML", "the file my.YAML here is meant by ./my.YAML"),
        ("my.json", "my.json", "the file my.json here is meant by ./my.json"),
        ("Topology", "Topology", "the file Topology here is meant by ./Topology"),
        ("mine.yaml", "mime.yaml", "did you mean mime.yaml, a file here?"),
        ("{here}/my.yml", "my.yaml", "did you mean {here}/my.yaml?"),
        ("./my", "my.yaml", "did you mean my.yaml?"),
        ("./other.yaml", "my.yaml", "(correct the path)"),
        ("old.yaml", "my.yaml", "did you mean old?"),
    ],
)
def test_a_file_that_was_meant_is_named(
    typed: str,
    there: str,
    answer: str,
    directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path_factory.mktemp("here")
    (here / there).touch()
    monkeypatch.chdir(here)
    with pytest.raises(TopologyNotFound) as refusal:
        find_topology(typed.format(here=here), settings_in(directory))
    assert answer.format(here=here) in str(refusal.value)
