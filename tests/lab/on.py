"""Run a command on one host of a lab that was started with `--hosts`: `python -m tests.lab.on NUMBER -- COMMAND...`."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tests.lab.hosts import found_hosts


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the command, on the host."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.on", description="Run a command on a host of the lab.")
    parser.add_argument("number", type=int, metavar="NUMBER", help="1 for the first host")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")
    options = parser.parse_args(arguments)
    hosts = found_hosts()
    if hosts is None:
        parser.error("this is not a lab with hosts: start one with `python -m tests.lab --hosts 3 -- bash`")
    if not 1 <= options.number <= len(hosts.hosts):
        parser.error(f"there is no host {options.number}: the lab has {len(hosts.hosts)}")
    command = hosts[options.number].command(*options.command)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
