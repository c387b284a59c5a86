"""Queues of a tap to `tc -batch`, and back from what tc shows: the real one (golden samples) and a simulated one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.faults.combine import as_kernel_shows
from reconciler.host.tc.tap_codec import CLASS_IDS, MARKS, TapTree, class_id_for, parse_tap, render_batch
from reconciler.model.choices import Distribution
from reconciler.model.links import LEFTOVER, Impairment, TapQdisc
from tests.unit.faults.samples import impairments
from tests.unit.host.tc.simulated import SimulatedTap

Step = dict[str, Any]
SAMPLES: dict[str, list[Step]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "golden").glob("steps.*.json"))
}
"""What a real kernel with netem showed after each of our batches, run in sequence on one tap, by program."""

STEPS = [step for steps in SAMPLES.values() for step in steps]

A, B, C = "52:54:00:11:22:33", "52:54:00:11:22:44", "52:aa:bb:cc:dd:ee"
SLOW = as_kernel_shows(Impairment(rate_kbit=1000))
FAR = as_kernel_shows(Impairment(delay_ms=50, jitter_ms=10, distribution=Distribution.NORMAL))
LOSSY = as_kernel_shows(Impairment(loss_pct=1))

queues = st.dictionaries(
    st.sampled_from([A, B, C, *(f"52:00:00:00:00:{n:02x}" for n in range(9))]), impairments.map(as_kernel_shows)
).map(TapQdisc)


def apply(tap: SimulatedTap, want: TapQdisc) -> list[str]:
    """Set the tap to its desired state; returns the lines that it took."""
    batch = render_batch("tap", parse_tap(*tap.show()), want)
    tap.batch(batch)
    return batch.splitlines()


def shaped(**senders: Impairment) -> tuple[SimulatedTap, TapQdisc]:
    want = TapQdisc({{"a": A, "b": B, "c": C}[name]: impairment for name, impairment in senders.items()})
    tap = SimulatedTap()
    apply(tap, want)
    return tap, want


def wanted(step: Step) -> TapQdisc:
    return TapQdisc({mac: Impairment(**values) for mac, values in step["wanted"].items()})


def tree_of(step: Step) -> TapTree:
    return parse_tap(json.dumps(step["qdiscs"]), "\n".join(step["classes"]), "\n".join(step["filters"]))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{len(step['wanted'])}-senders")
def test_what_the_kernel_shows_is_what_was_desired(step: Step) -> None:
    tree = tree_of(step)
    assert tree.shaping == wanted(step)
    assert not tree.damaged
    assert render_batch("tapa", tree, wanted(step)) == ""


@pytest.mark.parametrize("steps", SAMPLES.values(), ids=SAMPLES)
def test_each_golden_batch_is_rendered_from_what_the_kernel_showed_before(steps: list[Step]) -> None:
    before = parse_tap('[{"kind":"noqueue","handle":"8001:","root":true,"options":{}}]', "", "")
    for step in steps:
        assert render_batch("tapa", before, wanted(step)).splitlines() == step["batch"]
        before = tree_of(step)


@pytest.mark.parametrize("steps", SAMPLES.values(), ids=SAMPLES)
def test_the_simulated_tc_shows_what_the_real_one_showed(steps: list[Step]) -> None:
    tap = SimulatedTap()
    for step in steps:
        tap.batch("\n".join(step["batch"]))
        assert parse_tap(*tap.show()).senders == tree_of(step).senders


@given(st.lists(queues, max_size=4))
def test_any_desired_queues_are_reached_from_any_others_and_read_back(steps: list[TapQdisc]) -> None:
    tap = SimulatedTap()
    for want in steps:
        netems = [one for one in want.senders.values() if one.needs_netem]
        if len(netems) > 1 and any(one.duplicate_pct for one in netems):
            continue  # refused before it comes here
        apply(tap, want)
        assert parse_tap(*tap.show()).shaping == want
        assert apply(tap, want) == []
    apply(tap, TapQdisc())
    assert tap.root[0] == "noqueue"


@pytest.mark.parametrize("root", [("noqueue", "80c5:"), ("pfifo_fast", "0:"), ("fq_codel", "0:")])
def test_healing_puts_back_the_queue_that_was_there(root: tuple[str, str]) -> None:
    tap = SimulatedTap(root=root, default=root)
    apply(tap, TapQdisc({A: FAR}))
    assert parse_tap(*tap.show()).ours
    apply(tap, TapQdisc())
    assert tap.root[0] == root[0]
    assert (tap.root[1] == "0:") == (root[1] == "0:")


@pytest.mark.parametrize(("kind", "handle"), [("htb", "1:"), ("fq_codel", "8002:"), ("tbf", "4d40:")])
def test_a_queue_of_somebody_else_is_named_and_never_replaced(kind: str, handle: str) -> None:
    tree = parse_tap(*SimulatedTap(root=(kind, handle)).show())
    assert tree.foreign == f"{kind} {handle}"
    assert tree.shaping == TapQdisc()
    with pytest.raises(AssertionError, match=kind):
        render_batch("tap", tree, TapQdisc({A: FAR}))


def test_one_more_sender_touches_no_other() -> None:
    tap, want = shaped(a=FAR, b=LOSSY)
    lines = apply(tap, TapQdisc({**want.senders, C: SLOW}))
    assert [line.split()[:2] for line in lines] == [["class", "add"], ["filter", "add"]]


def test_a_changed_delay_is_changed_in_place_so_that_nothing_under_way_is_lost() -> None:
    tap, want = shaped(a=FAR, b=LOSSY)
    nearer = as_kernel_shows(FAR.model_copy(update={"delay_ms": 20, "limit_packets": 0}))
    (line,) = apply(tap, TapQdisc({**want.senders, A: nearer}))
    assert line.startswith("qdisc change")


def test_a_distribution_that_goes_takes_its_netem_along() -> None:
    tap, want = shaped(a=FAR)
    plain = FAR.model_copy(update={"distribution": Distribution.UNIFORM})
    (line,) = apply(tap, TapQdisc({**want.senders, A: plain}))
    assert line.startswith("qdisc replace")


def test_who_stops_duplicating_is_changed_before_others_come() -> None:
    tap, _ = shaped(c=as_kernel_shows(Impairment(duplicate_pct=1)))
    apply(tap, TapQdisc({A: FAR, C: LOSSY}))
    assert parse_tap(*tap.show()).shaping == TapQdisc({A: FAR, C: LOSSY})


@pytest.mark.parametrize("damage", ["filters", "classes", "leaves"])
def test_what_somebody_deletes_that_is_ours_is_put_back(damage: str) -> None:
    tap, want = shaped(a=FAR, b=LOSSY)
    getattr(tap, damage).pop(next(iter(getattr(tap, damage))))
    assert parse_tap(*tap.show()).shaping != want
    apply(tap, want)
    assert parse_tap(*tap.show()).shaping == want


def test_our_root_without_senders_is_a_leftover_and_goes() -> None:
    tap = SimulatedTap(root=("htb", "4d40:"))
    assert parse_tap(*tap.show()).shaping == TapQdisc({LEFTOVER: Impairment()})
    assert apply(tap, TapQdisc()) == ["qdisc replace dev tap root noqueue"]


def test_a_root_whose_default_was_changed_is_recreated() -> None:
    shown = '[{"kind":"htb","handle":"4d40:","root":true,"options":{"default":"0x10"}}]'
    tree = parse_tap(shown, "", "")
    assert tree.damaged
    assert render_batch("tap", tree, TapQdisc({A: SLOW})).splitlines()[:2] == [
        "qdisc replace dev tap root noqueue",
        "qdisc replace dev tap root handle 4d40: htb default 0 direct_qlen 1000",
    ]


@pytest.mark.parametrize(
    ("ours", "changed"),
    [
        ("at -8", "at 12"),
        ("ffff0000 at -4", "ff000000 at -4"),
        ("fh 800::", "fh 801::"),
        ("fh 800::b", "fh 800::a"),
        ("flowid 4d40:", "flowid 1:"),
        ("pref 1 u32 chain 0 fh", "pref 49152 matchall chain 0 handle 0x1 fh"),
    ],
)
def test_a_filter_of_another_form_is_damage_and_the_tree_is_recreated(ours: str, changed: str) -> None:
    tap, want = shaped(a=FAR)
    qdiscs, classes, filters = tap.show()
    assert ours in filters
    tree = parse_tap(qdiscs, classes, filters.replace(ours, changed))
    assert tree.damaged
    assert tree.shaping == TapQdisc({LEFTOVER: Impairment()})
    tap.batch(render_batch("tap", tree, want))
    assert parse_tap(*tap.show()).shaping == want


def test_classes_are_decided_by_the_address_and_never_shared() -> None:
    taken: set[int] = set()
    for number in range(1023):
        taken.add(class_id_for(f"52:00:00:00:{number >> 8:02x}:{number & 255:02x}", taken))
    assert len(taken) == 1023
    assert taken <= set(CLASS_IDS)
    assert class_id_for(A, ()) == class_id_for(A, ())


def test_no_handle_of_a_leaf_is_a_mark() -> None:
    handles = {kind << 12 | class_id for kind in range(len(Distribution)) for class_id in (CLASS_IDS[0], CLASS_IDS[-1])}
    assert max(handles) < min(MARKS)
