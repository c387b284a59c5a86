"""How a run of a command ends, whatever its work comes to."""

from pathlib import Path

import pytest
import typer

from reconciler.errors import ApprovalRequired, PartialFailure
from reconciler.frontends.cli.options import OutputFormat
from reconciler.frontends.cli.session import FAILURE, CommandEnding, run_command
from reconciler.usecases.application import UseCases


def test_an_error_beside_which_nothing_can_be_said_is_shown_alone(
    state_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def work(_: UseCases) -> dict[str, str]:
        failure = PartialFailure("the marker was not written on 2 of 2 nodes")
        failure.partial = {}
        raise failure

    with pytest.raises(typer.Exit) as ended:
        run_command(work, CommandEnding(), show_partial=lambda marks: typer.echo(next(iter(marks.values()))))
    assert ended.value.exit_code == FAILURE
    assert capfd.readouterr() == ("", "error [PARTIAL_FAILURE]: the marker was not written on 2 of 2 nodes\n")


@pytest.mark.parametrize("output", OutputFormat)
def test_a_hint_that_names_an_argument_names_the_option_of_the_command_that_runs(
    state_dir: Path, capfd: pytest.CaptureFixture[str], output: OutputFormat
) -> None:
    app = typer.Typer()

    @app.command()
    def apply(allow_restart: bool = False) -> None:
        async def work(_: UseCases) -> None:
            raise ApprovalRequired("no", hint="`allow_restart` agrees to it, and `vmcluster plan` or `sh` do not")

        run_command(work, CommandEnding(output=output))

    app([], standalone_mode=False)
    printed = "".join(capfd.readouterr())
    assert printed.count("`--allow-restart` agrees to it, and `vmcluster plan` or `sh` do not") >= 1
    assert "`allow_restart`" not in printed


@pytest.mark.parametrize("shows_plan", [True, False])
@pytest.mark.parametrize("output", OutputFormat)
def test_costs_that_a_plan_on_the_screen_has_shown_are_not_repeated(
    state_dir: Path, capfd: pytest.CaptureFixture[str], output: OutputFormat, shows_plan: bool
) -> None:
    async def work(_: UseCases) -> None:
        raise ApprovalRequired("it costs too much:\n  ~ power/n0: cpu [restart]")

    with pytest.raises(typer.Exit):
        run_command(work, CommandEnding(output=output, shows_plan=shows_plan))
    short = shows_plan and output is OutputFormat.TABLE
    printed = capfd.readouterr()
    assert ("power/n0" in printed.err) is not short
    assert ("power/n0" in printed.out) is (output is not OutputFormat.TABLE)
