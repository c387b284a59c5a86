"""A topology may come by a pipe: what is wrong in it is told as of a file, and nothing is made."""

import os
from pathlib import Path

import pytest

from .conftest import Invoke

TEXT = b"cluster_name: lab\nuser_data: {hostname: other}\nnodes: [{name: 12}]\n"


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("given", ["-", "/dev/stdin", "/dev/fd/{pipe}"])
def test_a_refused_pipe_is_answered_with_path_and_line(
    given: str, command: str, invoke: Invoke, state_dir: Path
) -> None:
    pipe, end = os.pipe()
    os.write(end, TEXT)
    os.close(end)
    kept = os.dup(0)
    os.dup2(pipe, 0)
    try:
        ended = invoke(command, given.format(pipe=pipe))
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(pipe)
    assert (ended.code, ended.out) == (1, "")
    name = "<stdin>" if given == "-" else given.format(pipe=pipe)
    assert f"{name}:1:1: base_image: is missing" in ended.err
    assert f"{name}:3:16: nodes[0].name: is a number" in ended.err
    assert not list(state_dir.parent.rglob("*.qcow2"))


def test_a_file_that_is_not_here_is_answered_with_the_one_that_was_meant(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.yaml").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    ended = invoke("plan", "my.yml")
    assert ended.code == 1
    assert "did you mean my.yaml, a file here?" in ended.err
