"""What real kernels say: marked, collected over SSH and from the console, also of a kernel that is dead."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from reconciler.errors import ClusterError, InvalidArgument, PartialFailure
from reconciler.model.choices import CutMode
from reconciler.model.faults import One, PartitionRequest
from reconciler.model.kernel_log import DmesgResult, LogSource, MarkerState
from reconciler.progress import Progress
from reconciler.usecases.kernel_log_following import follow_kernel_logs
from tests.integration.bed import SHARED_CLUSTER as CLUSTER
from tests.integration.bed import Bed, Session
from tests.integration.guests.conftest import NODES, provoked
from tests.waiting import BOOT_TIMEOUT_S, eventually

PANICKED = "Kernel panic - not syncing: sysrq triggered crash"
PANIC = ("sleep 1; echo c >/proc/sysrq-trigger", PANICKED)
"""Not `---[ end Kernel panic`: where the guest has a driver for pvpanic, QEMU hears of it and stops the machine before
that is said (panic.c calls panic_notifier_list first)."""
FOLLOWED = "is this followed?"


def texts(result: DmesgResult) -> list[str]:
    return [line.text for line in result.lines]


async def run(session: Session, node: str, command: str) -> None:
    answer = await session.nodes.run(CLUSTER, node, command, timeout_s=60)
    assert answer.exit_code == 0, answer.stderr


async def test_a_marker_divides_every_log_into_before_and_after(untouched_trio: Session) -> None:
    for node in NODES:
        await run(untouched_trio, node, f"echo '<4>before on {node}' >/dev/kmsg")
    began = time.monotonic()
    marks = await untouched_trio.kernel_logs.mark(CLUSTER)
    print(f"mark: {time.monotonic() - began:.3f} s")
    assert list(marks) == list(NODES)
    assert len(set(marks.values())) == 1
    for node in NODES:
        await run(untouched_trio, node, f"echo '<4>after on {node}' >/dev/kmsg")
    began = time.monotonic()
    collected = await untouched_trio.kernel_logs.collect(CLUSTER, since_marker=marks["n0"])
    print(f"collect: {time.monotonic() - began:.3f} s")
    for node, result in collected.items():
        assert texts(result) == [f"after on {node}"]
        assert (result.source, result.marker) == (LogSource.KMSG, MarkerState.FOUND)
        assert (result.lines[0].level, result.lines[0].facility) == ("warning", "user")


async def test_everything_since_the_boot_is_there_from_the_first_line_on(untouched_trio: Session) -> None:
    result = (await untouched_trio.kernel_logs.collect(CLUSTER, nodes=["n1"]))["n1"]
    print(f"whole log: {len(result.lines)} lines")
    assert result.lines[0].sequence == 0
    assert result.lines[0].text.startswith("Linux version ")
    assert (result.oops_detected, result.panic_detected) == (False, False)
    assert [event.summary for event in result.events] == []


async def test_a_thousand_lines_at_once_are_all_there_in_their_order(untouched_trio: Session) -> None:
    marker = (await untouched_trio.kernel_logs.mark(CLUSTER, nodes=["n2"]))["n2"]
    await run(untouched_trio, "n2", 'i=0; while [ $i -lt 1000 ]; do echo "<6>line $i" >/dev/kmsg; i=$((i+1)); done')
    result = (await untouched_trio.kernel_logs.collect(CLUSTER, nodes=["n2"], since_marker=marker))["n2"]
    assert texts(result) == [f"line {number}" for number in range(1000)]


async def test_hostile_lines_are_harmless(untouched_trio: Session) -> None:
    marker = (await untouched_trio.kernel_logs.mark(CLUSTER, nodes=["n2"]))["n2"]
    await run(
        untouched_trio, "n2", r"printf '<3>\033[2J\033]0;owned\007\377 Kernel panic - not syncing: no\n' >/dev/kmsg"
    )
    result = (await untouched_trio.kernel_logs.collect(CLUSTER, nodes=["n2"], since_marker=marker))["n2"]
    (line,) = result.lines
    assert line.text.isprintable()
    assert not result.panic_detected


async def test_a_ring_that_wrapped_says_that_the_marker_is_lost(trio: Session, guest_bed: Bed) -> None:
    marker = (await trio.kernel_logs.mark(CLUSTER, nodes=["n0"]))["n0"]
    await run(trio, "n0", "echo '<4>soon overwritten' >/dev/kmsg")
    filler = "x" * 900
    await run(trio, "n0", f"i=0; while [ $i -lt 1500 ]; do echo '<6>{filler}' >/dev/kmsg; i=$((i+1)); done")
    result = (await trio.kernel_logs.collect(CLUSTER, nodes=["n0"], since_marker=marker))["n0"]
    assert (result.marker, result.source) == (MarkerState.OVERWRITTEN, LogSource.CONSOLE_THEN_KMSG)
    assert "wrapped" in (result.message or "")
    assert texts(result)[0] == "soon overwritten"
    assert texts(result).count(filler) > 100
    async with guest_bed.runtime() as runtime:  # a client that has not read what is overwritten now
        condition = (await Session(runtime).inspection.status(CLUSTER)).nodes[0].conditions[0]
    assert (condition.status, condition.reason) == ("Unknown", "LogOverwritten")


async def test_a_node_that_takes_no_marker_is_named_and_the_others_have_theirs(trio: Session) -> None:
    await run(trio, "n1", "echo off > /proc/sys/kernel/printk_devkmsg || mount --bind /dev/full /dev/kmsg")
    try:
        with pytest.raises(PartialFailure) as caught:
            await trio.kernel_logs.mark(CLUSTER)
    finally:
        await run(trio, "n1", "umount /dev/kmsg 2>/dev/null; echo on > /proc/sys/kernel/printk_devkmsg; true")
    assert caught.value.node == "n1"
    assert set(caught.value.partial) == {"n0", "n2"}


async def test_what_is_no_marker_is_refused(untouched_trio: Session) -> None:
    with pytest.raises(InvalidArgument):
        await untouched_trio.kernel_logs.collect(CLUSTER, since_marker="yesterday")


async def test_a_marker_that_was_never_on_a_node_is_an_error_of_that_node(untouched_trio: Session) -> None:
    marker = (await untouched_trio.kernel_logs.mark(CLUSTER, nodes=["n1"]))["n1"]
    with pytest.raises(ClusterError, match="marker") as caught:
        await untouched_trio.kernel_logs.collect(CLUSTER, nodes=["n2"], since_marker=marker)
    assert caught.value.node == "n2"


async def test_a_panic_is_read_from_the_console_while_ssh_is_dead_and_the_node_boots_again(trio: Session) -> None:
    marker = (await trio.kernel_logs.mark(CLUSTER))["n1"]
    await run(trio, "n1", "echo 0 >/proc/sys/kernel/panic; echo '<4>last words' >/dev/kmsg")
    await provoked(trio, "n1", *PANIC)
    began = time.monotonic()
    collected = await trio.kernel_logs.collect(CLUSTER, since_marker=marker, timeout_s=20)
    print(f"collect beside a dead node: {time.monotonic() - began:.2f} s")
    dead = collected["n1"]
    print("\n".join(texts(dead)))
    assert (dead.source, dead.marker, dead.panic_detected) == (LogSource.CONSOLE, MarkerState.FOUND, True)
    assert texts(dead)[0] == "last words"
    assert "panic" in [event.kind for event in dead.events]
    assert dead.error_count >= 1
    for node in ("n0", "n2"):
        assert (collected[node].source, collected[node].events) == (LogSource.KMSG, ())

    await trio.clusters.crash(CLUSTER, "n1", ssh_timeout_s=BOOT_TIMEOUT_S)
    after = (await trio.kernel_logs.collect(CLUSTER, nodes=["n1"], since_marker=marker))["n1"]
    assert (after.marker, after.source) == (MarkerState.NEW_BOOT, LogSource.CONSOLE_THEN_KMSG)
    assert after.panic_detected
    assert any(text.startswith("Linux version") for text in texts(after))
    assert not (await trio.kernel_logs.collect(CLUSTER, nodes=["n1"]))["n1"].panic_detected
    again = (await trio.inspection.status(CLUSTER)).nodes[1]
    assert (again.conditions[0].status, again.first_bad_event) == ("True", None)


async def test_a_node_that_runs_and_does_not_answer_is_read_from_its_console_until_it_does(trio: Session) -> None:
    """n1 lost its sshd, n2 its cable."""
    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    await trio.nodes.run_all(CLUSTER, "echo '<3>an error' >/dev/kmsg; echo '<6>some news' >/dev/kmsg")
    await run(trio, "n1", "(sleep 0.5; systemctl stop ssh; pkill -x sshd) >/dev/null 2>&1 </dev/null &")
    cut = PartitionRequest(shape=One(node="n2"), mode=CutMode.LINK_DOWN)
    handle = await trio.faults.inject(CLUSTER, cut)

    async def silent_nodes() -> bool:
        return [node.ssh_reachable for node in (await trio.inspection.status(CLUSTER)).nodes] == [True, False, False]

    await eventually(silent_nodes)
    collected = await trio.kernel_logs.collect(CLUSTER, since_marker=marker, timeout_s=15)
    assert [of.source for of in collected.values()] == [LogSource.KMSG, LogSource.CONSOLE, LogSource.CONSOLE]
    for node in ("n1", "n2"):
        silent = collected[node]
        assert (silent.marker, texts(silent)) == (MarkerState.FOUND, ["an error"])
        assert "SSH failed" in (silent.message or "")
    status = await trio.inspection.status(CLUSTER)
    assert [(node.domain_state, node.ssh_reachable) for node in status.nodes[1:]] == [("running", False)] * 2
    assert [node.conditions[0].status for node in status.nodes] == ["True", "Unknown", "Unknown"]
    await trio.faults.heal(CLUSTER, handle.handle_id)
    healed = (await trio.kernel_logs.collect(CLUSTER, nodes=["n2"], since_marker=marker))["n2"]
    assert healed.source is LogSource.KMSG
    assert texts(healed)[:2] == ["an error", "some news"]


async def test_a_marker_that_a_revert_took_is_said_to_be_lost_and_nothing_older_is_shown(trio: Session) -> None:
    await trio.nodes.run_all(CLUSTER, "echo '<3>older' >/dev/kmsg")
    await asyncio.sleep(5)  # longer than a resume takes on a busy host
    await trio.snapshots.create(CLUSTER, "kept", include_memory=True)
    marker = (await trio.kernel_logs.mark(CLUSTER))["n0"]
    await run(trio, "n0", "echo '<3>undone' >/dev/kmsg; echo '<6>undone in silence' >/dev/kmsg")
    await trio.snapshots.revert(CLUSTER, "kept")
    await run(trio, "n0", "echo '<6>newest' >/dev/kmsg")
    result = (await trio.kernel_logs.collect(CLUSTER, nodes=["n0"], since_marker=marker))["n0"]
    assert (result.marker, result.source) == (MarkerState.REVERTED, LogSource.CONSOLE_THEN_KMSG)
    assert "memory" in (result.message or "")
    said = [text for text in texts(result) if text in {"older", "undone", "undone in silence", "newest"}]
    assert said == ["undone", "newest"]
    assert not any(text.startswith("Linux version") for text in texts(result))


async def test_backtraces_that_somebody_asked_for_are_no_events(untouched_trio: Session) -> None:
    marker = (await untouched_trio.kernel_logs.mark(CLUSTER, nodes=["n2"]))["n2"]
    await run(
        untouched_trio, "n2", "echo 1 >/proc/sys/kernel/sysrq; echo l >/proc/sysrq-trigger; echo w >/proc/sysrq-trigger"
    )
    result = (await untouched_trio.kernel_logs.collect(CLUSTER, nodes=["n2"], since_marker=marker))["n2"]
    assert any("Show backtrace" in text or "Show Blocked" in text for text in texts(result))
    assert result.events == ()


async def test_what_a_dying_kernel_says_is_followed_each_line_once(trio: Session) -> None:
    said: list[tuple[str, str, LogSource]] = []
    notes: list[str] = []
    following = asyncio.create_task(
        follow_kernel_logs(
            trio.runtime,
            CLUSTER,
            ["n0", "n1"],
            lambda node, line, source: said.append((node, line.text, source)),
            Progress(notes.append),
        )
    )

    async def is_followed(node: str) -> bool:
        await run(trio, node, f"echo '<6>{FOLLOWED}' >/dev/kmsg")
        return any(who == node for who, _, _ in said)

    try:
        for node in ("n0", "n1"):
            await eventually(partial(is_followed, node))
        said.clear()
        await run(trio, "n0", "echo '<4>a warning' >/dev/kmsg; echo '<6>some news' >/dev/kmsg")
        news = [("n0", "a warning", LogSource.KMSG), ("n0", "some news", LogSource.KMSG)]
        await eventually(lambda: news[-1] in said)
        assert [line for line in said if line[1] != FOLLOWED] == news
        await provoked(trio, "n1", *PANIC)
        await eventually(lambda: ("n1", PANICKED, LogSource.CONSOLE) in said)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    heads = [(node, text) for node, text, _ in said if text.startswith("Kernel panic - not syncing")]
    assert heads == [("n1", PANICKED)]


async def test_the_status_says_whose_kernel_is_not_well_and_since_when(trio: Session) -> None:
    began = time.monotonic()
    status = await trio.inspection.status(CLUSTER)
    print(f"status of three running nodes: {time.monotonic() - began:.3f} s")
    assert [(node.conditions[0].type, node.conditions[0].status) for node in status.nodes] == [
        ("KernelHealthy", "True")
    ] * 3
    await provoked(trio, "n1", *PANIC)
    status = await trio.inspection.status(CLUSTER)
    ill = status.nodes[1]
    assert (ill.conditions[0].status, ill.conditions[0].reason) == ("False", "Panic")
    assert ill.first_bad_event is not None
    assert ill.first_bad_event.summary == PANICKED
    assert [node.conditions[0].status for node in status.nodes if node is not ill] == ["True", "True"]


async def test_the_console_is_shown_from_a_marker_on(untouched_trio: Session) -> None:
    marker = (await untouched_trio.kernel_logs.mark(CLUSTER))["n0"]
    await run(untouched_trio, "n0", "echo '<4>on the console' >/dev/kmsg; printf '\\033[2Jplain\\n' >/dev/ttyS0")
    shown = await untouched_trio.consoles.show(CLUSTER, "n0", since_marker=marker, follow_s=1)
    assert shown.marker is MarkerState.FOUND
    assert shown.lines[0].endswith("] on the console")
    assert "plain" in shown.lines
    assert len((await untouched_trio.consoles.show(CLUSTER, "n0", tail=1)).lines) == 1


async def test_trees_go_to_all_nodes_and_come_back(trio: Session, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "tool").write_text("#!/bin/sh\necho $0\n")
    (source / "sub" / "tool").chmod(0o755)
    (source / "big").write_bytes(bytes(range(256)) * 40_000)
    for number in range(500):
        (source / "sub" / f"file{number}").write_text(str(number))
    began = time.monotonic()
    pushed = await trio.transfers.push(CLUSTER, source, "/opt/new/tree")
    print(f"push of 10 MB in 502 files to three nodes: {time.monotonic() - began:.2f} s")
    assert {node: of.files for node, of in pushed.per_node.items()} == dict.fromkeys(NODES, 502)
    answer = await trio.nodes.run_all(
        CLUSTER, "/opt/new/tree/sub/tool; ls -A /opt/new; stat -c %u:%a /opt/new/tree/big"
    )
    assert {of.stdout for of in answer.results.values()} == {"/opt/new/tree/sub/tool\ntree\n0:644\n"}
    began = time.monotonic()
    pulled = await trio.transfers.pull(CLUSTER, "n1", "/opt/new/tree", tmp_path / "back")
    print(f"pull of the same: {time.monotonic() - began:.2f} s")
    assert pulled.per_node["n1"].files == 502
    assert (tmp_path / "back" / "big").read_bytes() == (source / "big").read_bytes()
    assert (tmp_path / "back" / "sub" / "tool").stat().st_mode & 0o777 == 0o755


async def test_a_push_that_does_not_fit_leaves_nothing_and_names_the_node(trio: Session, tmp_path: Path) -> None:
    await run(trio, "n1", "mkdir -p /small && mount -t tmpfs -o size=1m none /small")
    await trio.nodes.run_all(CLUSTER, "mkdir -p /small")
    (tmp_path / "big").write_bytes(bytes(4_000_000))
    with pytest.raises(PartialFailure, match="1 MiB are free there, but the copy needs 4 MiB") as caught:
        await trio.transfers.push(CLUSTER, tmp_path / "big", "/small/big")
    assert (caught.value.node, set(caught.value.partial)) == ("n1", {"n0", "n2"})
    assert (await trio.nodes.run(CLUSTER, "n1", "ls -A /small")).stdout == ""


async def test_nodes_that_are_off_are_read_from_their_consoles_and_take_no_marker(
    trio: Session, guest_bed: Bed
) -> None:
    await trio.clusters.crash(CLUSTER, "n2", restart_after=False)
    with pytest.raises(PartialFailure) as caught:
        await trio.kernel_logs.mark(CLUSTER)
    assert (caught.value.node, set(caught.value.partial)) == ("n2", {"n0", "n1"})
    result = (await trio.kernel_logs.collect(CLUSTER, nodes=["n2"]))["n2"]
    assert result.source is LogSource.CONSOLE
    assert "does not run" in (result.message or "")
    console = guest_bed.settings.overlay_dir / CLUSTER / "n2.console.log"
    kept = console.rename(console.with_suffix(".kept"))
    try:
        with pytest.raises(ClusterError, match="cannot be read") as error:
            await trio.kernel_logs.collect(CLUSTER, nodes=["n2"])
        assert error.value.node == "n2"
    finally:
        kept.rename(console)
