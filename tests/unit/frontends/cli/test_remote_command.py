"""Where a command for a node begins, with and without `--`."""

import pytest
import typer

from reconciler.frontends.cli.remote_command import with_end_of_options

EXEC = {"--all": False, "--nodes": True, "--timeout": True, "--env": True, "-e": True, "--stdin": False, "-i": False}
EXEC |= {"--output": True, "-o": True}


@pytest.mark.parametrize(
    ("words", "marked"),
    [
        ("lab n0 uname -r", "lab n0 -- uname -r"),
        ("lab n0 ls -la --color=auto /", "lab n0 -- ls -la --color=auto /"),
        ("lab n0 df -h", "lab n0 -- df -h"),
        ("lab n0 git log --help", "lab n0 -- git log --help"),
        ("lab --all uname -r", "lab --all -- uname -r"),
        ("--all lab uname -r", "--all lab -- uname -r"),
        ("lab --nodes a,b uname -r", "lab --nodes a,b -- uname -r"),
        ("lab --nodes=a,b uname -r", "lab --nodes=a,b -- uname -r"),
        ("lab n0 --timeout 5 -e A=b -i uname -r", "lab n0 --timeout 5 -e A=b -i -- uname -r"),
        ("lab n0 -io json uname -r", "lab n0 -io json -- uname -r"),
        ("lab n0 -ojson uname -r", "lab n0 -ojson -- uname -r"),
        ("-o json lab n0 true", "-o json lab n0 -- true"),
        ("lab n0 grep -- -r file", "lab n0 -- grep -- -r file"),
        ("lab n0 cat -", "lab n0 -- cat -"),
        ("lab n0 -- sort -o json", "lab n0 -- sort -o json"),
        ("lab --all -- ls --all", "lab --all -- ls --all"),
        ("lab n0 --bogus -- true", "lab n0 --bogus -- true"),
        ("lab n0", "lab n0"),
        ("lab -r n0", "lab -r n0"),
        ("lab uname --all", "lab uname --all"),
    ],
)
def test_the_options_of_the_remote_command_are_its_own(words: str, marked: str) -> None:
    assert with_end_of_options(words.split(), EXEC) == marked.split()


@pytest.mark.parametrize("words", ["ls --all", "sort -o json", "grep -i x", "uname -ojson", "env --timeout=5", "ls -e"])
def test_an_option_that_could_be_meant_for_either_is_refused_with_the_remedy(words: str) -> None:
    with pytest.raises(typer.BadParameter, match="is ambiguous: put -- before the command"):
        with_end_of_options(["lab", "n0", *words.split()], EXEC)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lab uname -r", "-r is not an option of vmcluster: name a node"),
        ("lab n0 --all -- uname", "but not both"),
        ("lab n0 --nodes n1 -- uname", "but not both"),
    ],
)
def test_a_node_too_few_or_too_many_is_said(words: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        with_end_of_options(words.split(), EXEC)
