"""How a run of a command ends, whatever its work comes to."""

from pathlib import Path

import pytest
import typer

from reconciler.errors import PartialFailure
from reconciler.frontends.cli.session import FAILURE, Manner, UseCases, conduct


def test_an_error_beside_which_nothing_can_be_said_is_shown_alone(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def work(_: UseCases) -> dict[str, str]:
        failure = PartialFailure("the marker was not written on 2 of 2 nodes")
        failure.partial = {}
        raise failure

    with pytest.raises(typer.Exit) as ended:
        conduct(work, Manner(), show_partial=lambda marks: typer.echo(next(iter(marks.values()))))
    assert ended.value.exit_code == FAILURE
    assert capfd.readouterr() == ("", "error [PARTIAL_FAILURE]: the marker was not written on 2 of 2 nodes\n")
