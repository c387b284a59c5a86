"""The live page: the options by which it is served, and the command that opens it."""

# ruff: noqa: PLC0415  imports wait until a command runs

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.frontends.cli.commands import Commands
from reconciler.frontends.cli.options import AnyCluster
from reconciler.frontends.cli.output import narrate
from reconciler.frontends.cli.session import run_command
from reconciler.frontends.cli.wording import spelling_of_now, texts_about
from reconciler.frontends.mcp.server_options import HttpPlace, listening_address
from reconciler.usecases.application import UseCases

if TYPE_CHECKING:
    from reconciler.frontends.web.page import Words

app = Commands()


def _place(text: str) -> HttpPlace:
    try:
        return HttpPlace(*listening_address(text))
    except argparse.ArgumentTypeError as error:
        raise typer.BadParameter(str(error)) from error


HttpAddress = Annotated[
    HttpPlace | None,
    typer.Option(
        "--http",
        parser=_place,
        metavar="ADDRESS:PORT",
        help="Serve the live page there, on the loopback interface; port 0 is any.",
    ),
]
AllowActions = Annotated[
    bool,
    typer.Option("--allow-actions", help="Let the page, and MCP behind it, change clusters. Otherwise they only show."),
]


@app.command(examples=("ui lab",))
def ui(
    cluster: AnyCluster = None,
    http: HttpAddress = None,
    allow_actions: AllowActions = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, if there is a display.")
    ] = True,
) -> None:
    """Open the live page of clusters in a browser.

    It shows nodes, faults, events and consoles as they change.

    Opens the page of a running `vmcluster watch --http`. Without one, or with --http or --allow-actions, serves a page
    itself until Ctrl-C. The address that it prints lets one browser in, once, within five minutes.
    """
    words = page_words()

    async def work(use: UseCases) -> None:
        from reconciler.frontends.web.way_in import entry_to_running

        state_dir = use.runtime.settings.state_dir
        if http is None and not allow_actions:
            found = await asyncio.to_thread(entry_to_running, state_dir, cluster or "")
            if found is not None:
                _show(found, state_dir, browser=browser)
                return
        from reconciler.frontends.web.door import opened_door

        stop, place = stop_signal(), http or HttpPlace("127.0.0.1", 0)
        async with opened_door(use.runtime, place, words, allow_actions=allow_actions) as door:
            _show(door.entry(cluster or ""), state_dir, browser=browser)
            narrate("the page is served until Ctrl-C; the address lets one browser in, once, within five minutes")
            await stop.wait()

    run_command(work)


def _show(url: str, state_dir: Path, *, browser: bool) -> None:
    typer.echo(url)
    sys.stdout.flush()
    if browser and any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        from reconciler.frontends.web.way_in import open_in_browser

        open_in_browser(url, state_dir)


def page_words() -> "Words":
    """Spells calls as the command line does, also in other threads than that of the running command."""
    in_words = spelling_of_now()

    def words(text: str, cluster: str) -> str:
        with texts_about(cluster or None):
            return in_words(text)

    return words


def stop_signal() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT; a second one kills the process."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        narrate(f"{number.name}: stopping after the running actions; repeat to stop immediately")
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, on_signal, each)
    return stop
