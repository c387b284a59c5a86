"""Answers of hostile nodes to the questions that the product asks: odd ones are that node's error, and nothing else."""

import asyncio
import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.artifacts.installed import parse_record
from reconciler.artifacts.node_scripts import RECORD_PATH, parse_installed
from reconciler.errors import ClusterError, OperationFailed
from reconciler.guest.address import GuestAddress
from reconciler.guest.cloud_init_progress import REPORT_PATHS, parse_provisioning
from reconciler.guest.guest_answers import parsing_answer
from reconciler.guest.node_jobs import NodeJobs
from reconciler.guest.printed_files import parse_printed
from reconciler.guest.rsync import parse_bytes_sent
from reconciler.health.node_probe import judge_buffer, judge_overwritten
from reconciler.host.libvirt.qemu_log import parse_last_run
from reconciler.kernel_log.log_answers import first_bad_on_console
from reconciler.model.results import ExecResult
from reconciler.observe.clean_kernels import KernelState
from reconciler.observe.node_vitals import parse_vitals_answer
from reconciler.usecases import fault_verification
from tests.hostile import ROUNDS, SEED
from tests.hostile.tally import Tally

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LOG = (
    "0f0e0d0c-0b0a-4908-8706-050403020100 100.00\n6,0,1,-;Linux version 6.1\n"
    "2,17,5000000,-,caller=T12;BUG: unable to handle page fault for address: 0\n SUBSYSTEM=x\n"
)
STAGES = (
    '{"v1": {"stage": null, "init": {"start": 5, "finished": 6, "errors": [], "recoverable_errors": {"X": ["y"]}}}}'
)
VISIT = (
    f"there: result.json status.json\n==> {REPORT_PATHS[0]} <==\n{STAGES}\n==> {REPORT_PATHS[1]} <==\n{STAGES}\n"
    f"\n==> {RECORD_PATH} <==\n{'ab' * 32}\n\n==> /proc/modules <==\next4 1 2 - Live 0x0\n"
    "\n==> /proc/sys/kernel/tainted <==\n4096\n\n==> /proc/sys/kernel/printk <==\n5\t4\t1\t7\n"
    "\n==> /proc/uptime <==\n100.25 80.00\n\n==> /proc/stat <==\nbtime 1767323045\n"
    f"\n==> /proc/consoles <==\nttyS0 -W- (EC p a) 4:64\n\n==> kernel-log <==\n{LOG}"
)
CONSOLE = "[    0.000000] Linux version 6.1\n[    5.000000] BUG: unable to handle page fault\n[    5.1] end trace\n"
RECORD = json.dumps(
    {"artifact_id": "ab" * 32, "tree": "/t", "mode": "deb", "release": "6.1", "packages": ["a"], "complete": True}
)
ODD = [
    *("1" + "0" * 400, "-1" + "0" * 400, "1" * 4000, "-" + "1" * 4000, "9999-99-99T99:99:99.9Z"),
    *("", "\n", "\0", "-", "--\n--\n--\n--\n", "1.2.3", "nan", "inf", "-1", "1e999", "9" * 5000, "0x10", "١٢٣"),
    *("[" * 100_000, "{" * 100_000, '{"a":' * 50_000, "null", "[]", "{}", '"text"', "[[[]]]", '{"v1": []}', "true"),
    *("\ufffd" * 1000, "\x1b[2J\x1b]0;x\x07", "a" * 100_000, "NaN", "[NaN]", '{"10.0.0.1": [1e999]}'),
    *('{"10.0.0.1": [-1]}', '{"10.0.0.1": ["x", null]}', '{"10.0.0.1": 5}', '{"10.0.0.1": [1, 2, 3]}'),
]
NUMBERS = ODD[:18]
"""What stands in the place of numbers, too."""


def exec_result(stdout: str) -> ExecResult:
    return ExecResult(exit_code=0, stdout=stdout, stderr="", duration_s=0.1, timed_out=False)


def visit(text: str) -> None:
    with parsing_answer("n1", "its state"):
        seen = parse_vitals_answer(exec_result(text), NOW, NOW)
    state = asyncio.run(judge_buffer(seen.log, "n1"))
    with_console(state, text)


def buffer(text: str) -> None:
    with_console(asyncio.run(judge_buffer(exec_result(text), "n1")), "")


def report(text: str) -> None:
    """Either half of what a node says of a measurement; troubles name the node."""
    troubles: dict[str, str] = {}
    for sent, counted in ((text, "{}"), ("{}", text)):
        found = fault_verification._understood({"n1": sent}, {"n1": counted}, troubles)
        assert ("n1" in found) != ("n1" in troubles) or found.keys() | troubles.keys() == {"n1"}


def console(text: str) -> None:
    with_console(asyncio.run(judge_buffer(exec_result(LOG), "n1")), text)


def with_console(state: KernelState, text: str) -> None:
    event, whole_boot = first_bad_on_console(text.encode(errors="replace"))
    judge_overwritten(state, event, whole_boot=whole_boot)


def job(text: str) -> None:
    NodeJobs(None, ADDRESS, timeout_s=1)._parsed(text)  # type: ignore[arg-type]


ADDRESS = GuestAddress(
    cluster="lab", node="n1", host="10.0.0.1", user="root", key_path=Path("/key"), host_key="ssh-ed25519 AAAA"
)
RSYNC = "Total bytes sent: 12,345\nTotal bytes sent: 12345\nTotal bytes received: 5\n"
QEMU = (
    "2026-01-02 03:04:05.678+0000: starting up libvirt version: 9.0.0\nLC_ALL=C \\\n-msg timestamp=on\n"
    "2026-01-02T03:04:06.123456Z qemu-system-x86_64: KVM internal error\n"
    "2026-01-02 03:04:07.678+0000: shutting down, reason=crashed\n"
)
JOB = "abc12 running - 1767323045 - 10 0 dHJ1ZQ=="
PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "a visit": (visit, VISIT),
    "the kernel's buffer": (buffer, LOG),
    "a console": (console, CONSOLE),
    "a record of what is installed": (lambda text: parse_record(text, node="n1"), f"x\n/t\n{RECORD}\n"),
    "what an installation printed": (parse_installed, "a\0b\0\0p\0\0depmod"),
    "how far cloud-init is": (lambda text: parse_provisioning(parse_printed(text)), VISIT),
    "what rsync printed": (lambda text: parse_bytes_sent(text.encode(errors="replace")), RSYNC),
    "the last words of QEMU": (lambda text: parse_last_run(text.encode(errors="replace"), NOW), QEMU),
    "the jobs of a node": (job, JOB),
    "a measurement": (report, '{"10.0.0.1": [1.5, 2.5]}'),
}


def try_out(parse: Callable[[str], object], text: str) -> None:
    """Fail where an answer is more than an error that names its node."""
    failures = []
    try:
        parse(text)
    except ClusterError as error:
        failures.append(error.node)
    assert failures in ([], ["n1"]), text


@pytest.mark.parametrize("parser", PARSERS)
def test_no_odd_answer_is_more_than_an_error_of_its_node(parser: str) -> None:
    parse, honest = PARSERS[parser]
    parse(honest)
    lines, numbers = honest.split("\n"), list(re.finditer(r"\d+", honest))
    for odd in ODD:
        in_lines = ("\n".join([*lines[:at], odd, *lines[at + 1 :]]) for at in range(len(lines)))
        in_numbers = (honest[: of.start()] + odd + honest[of.end() :] for of in numbers if odd in NUMBERS)
        for text in (odd, honest + odd, *in_lines, *in_numbers):
            try_out(parse, text)


@pytest.mark.parametrize("parser", PARSERS)
def test_no_random_fault_in_an_answer_is_more_than_an_error_of_its_node(parser: str, tally: Tally) -> None:
    parse, honest = PARSERS[parser]
    chance = random.Random(SEED)
    with tally.fuzzing(ROUNDS):
        for _ in range(ROUNDS):
            try_out(parse, faulty(honest, chance))


def faulty(text: str, chance: random.Random) -> str:
    """An honest answer with some faults."""
    for _ in range(chance.randrange(1, 6)):
        at, until = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        until = min(until, at + chance.randrange(12))
        text = text[:at] + chance.choice([*NUMBERS, *"0123456789-.,;[]{}\n \t", text[at:until] * 2]) + text[until:]
    return text


def test_what_cannot_be_understood_names_the_node_and_what_was_asked() -> None:
    with pytest.raises(OperationFailed, match="for it cannot be parsed") as failure, parsing_answer("n1", "it"):
        int("1.2.3")
    assert failure.value.node == "n1"
