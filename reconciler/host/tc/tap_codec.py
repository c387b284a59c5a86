"""The queues of one tap: parses what tc shows, and renders the lines of `tc -batch` that make them as desired.

The tree on one of our taps:

    root        htb, handle 4d40: or 4d41:, our mark; frames that match no filter pass its direct queue (default 0)
    class       one per impaired sender; its rate, or one that no tap reaches
    leaf        netem, if anything but a rate is desired; pfifo for a queue length with a rate
    filter      u32 on the sender's MAC address, for all protocols

tc has no place to note what was there before, so the mark itself says it: 4d40 if it was a `noqueue` (libvirt puts one
there), 4d41 if it was the kernel's own default, which returns by itself. Any other queue belongs to somebody else and
stays: `TapTree.foreign`.

Facts: tc(8), tc-htb(8), tc-netem(8) of iproute2 6.1; samples from Linux 6.1 (netem) and 6.18.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.choices import Distribution
from reconciler.model.links import LEFTOVER, Impairment, TapQdisc

MARK_INSTEAD_OF_NOQUEUE = 0x4D40
MARK_INSTEAD_OF_DEFAULT = 0x4D41
MARKS = frozenset({MARK_INSTEAD_OF_NOQUEUE, MARK_INSTEAD_OF_DEFAULT})

CLASS_IDS = range(1, 0xD00)
"""Less than the marks, so that no leaf has a mark's handle.

A bridge has at most 1023 ports (linux/net/bridge/br_private.h).
"""

UNLIMITED_KBIT = 100_000_000
_DISTRIBUTIONS = tuple(Distribution)
_TABLE = 0x800  # the kernel's first u32 hash table of a priority
_MAX_TICKED_BURST_BYTES = 1_000_000
_BURST_MS = 4
_MIN_BURST_BYTES = 3200  # two full frames

_CLASS = re.compile(
    r"^class htb (?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+) .*?\brate (?P<rate>\d+)(?P<unit>[KMGT]?)bit "
)
_FILTER = re.compile(r" pref 1 u32 .* fh 800::(?P<item>[0-9a-f]+) .*flowid (?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+)\b")
_FILTER_TABLE = re.compile(r" pref 1 u32 chain 0 (fh 800: ht divisor 1 )?$")
_MATCH = re.compile(r"^\s+match (?P<value>[0-9a-f]{8})/(?P<mask>[0-9a-f]{8}) at (?P<offset>-?\d+)$")
_SOURCE_MAC = [("ffffffff", "-8"), ("ffff0000", "-4")]
"""The six bytes at the start of the eight bytes before the network header."""

_UNITS_KBIT = {"K": 1, "M": 1000, "G": 10**6, "T": 10**9}


@dataclass(frozen=True, slots=True)
class Sender:
    """One sender's branch of the tree; without an impairment its leaf is missing or not ours."""

    class_id: int
    leaf: int | None
    impairment: Impairment | None


@dataclass(frozen=True, slots=True)
class TapTree:
    """What tc shows of one tap.

    `mark` is the handle of our root, or the one it would get, or None if the root is somebody else's (`foreign` says
    what it is). A tree is `damaged` if it contains something that we cannot have made.
    """

    mark: int | None
    ours: bool = False
    damaged: bool = False
    foreign: str | None = None
    senders: Mapping[str, Sender] = field(default_factory=dict)

    @property
    def shaping(self) -> TapQdisc:
        """The effect of the tree; a branch without effect is a zero impairment, as is our tree without branches."""
        senders = {mac: one.impairment or Impairment() for mac, one in self.senders.items()}
        return TapQdisc({LEFTOVER: Impairment()} if self.ours and not senders else senders)


def parse_tap(qdiscs: str | bytes, classes: str | bytes, filters: str | bytes) -> TapTree:
    """The tree, from `tc -j qdisc show dev TAP`, `tc class show dev TAP` and `tc filter show dev TAP`.

    Classes and filters are text: `tc -j class show` of iproute2 6.1 prints text too, and `tc -j filter show` prints
    one key twice.
    """
    shown: list[dict[str, Any]] = json.loads(qdiscs or b"[]")
    root: dict[str, Any] = next((qdisc for qdisc in shown if qdisc.get("root")), {"kind": "noqueue", "handle": "0:"})
    mark = _major(root["handle"])
    if root["kind"] != "htb" or mark not in MARKS:
        return _foreign_tree(root)
    if root.get("options", {}).get("default") not in {"0", "0x0", 0}:
        return TapTree(mark, ours=True, damaged=True)
    rates, leaves = _parse_classes(_text(classes), mark), _leaves(shown, mark)
    filters_found = list(_parse_filters(_text(filters), mark))
    class_of = {mac: class_id for mac, class_id in filters_found if mac is not None}
    whole = sorted(class_id for _, class_id in filters_found) == sorted(rates) and len(class_of) == len(rates)
    senders = {mac: _sender(class_id, rates.get(class_id), leaves.get(class_id)) for mac, class_id in class_of.items()}
    return TapTree(mark, ours=True, damaged=not whole, senders=senders if whole else {})


def render_batch(tap: str, found: TapTree, want: TapQdisc) -> str:
    """The lines of `tc -batch -` that make the tap's queues as desired, changing only what must change; empty if none.

    Asserts that the root is ours or may be replaced: the caller must refuse a foreign one.
    """
    assert found.mark is not None, f"the queue of {tap} is not ours: {found.foreign}"
    return "".join(f"{line}\n" for line in _lines(tap, found, want, found.mark))


def class_id_for(mac: str, taken: Collection[int]) -> int:
    """The class of a new sender: derived from its address, or the next free one."""
    start = int.from_bytes(hashlib.sha256(mac.encode()).digest()[:4]) % len(CLASS_IDS)
    return next(
        candidate
        for step in range(len(CLASS_IDS))
        if (candidate := CLASS_IDS[(start + step) % len(CLASS_IDS)]) not in taken
    )


# Rendering.


def _lines(tap: str, found: TapTree, want: TapQdisc, mark: int) -> Iterator[str]:
    here = dict(found.senders)
    if found.ours and (found.damaged or not want.senders):
        yield _restore(tap, mark)
        here = {}
    if not want.senders:
        return
    if not found.ours or found.damaged:
        yield f"qdisc replace dev {tap} root handle {mark:x}: htb default 0 direct_qlen 1000"
    yield from _departures(tap, here, want, mark)
    yield from _arrivals(tap, here, want, mark)


def _departures(tap: str, here: Mapping[str, Sender], want: TapQdisc, mark: int) -> Iterator[str]:
    """Removals go first: a duplicating netem does not allow another netem to be added beside it."""
    for mac, sender in sorted(here.items()):
        if mac not in want.senders:
            handle = f"{_TABLE:x}::{sender.class_id:x}"
            yield f"filter del dev {tap} parent {mark:x}: protocol all prio 1 handle {handle} u32"
            yield f"class del dev {tap} classid {mark:x}:{sender.class_id:x}"


def _arrivals(tap: str, here: Mapping[str, Sender], want: TapQdisc, mark: int) -> Iterator[str]:
    """Existing senders go first and duplicating ones last, for the same reason."""
    taken = {sender.class_id for mac, sender in here.items() if mac in want.senders}
    order = {mac: (bool(want.senders[mac].duplicate_pct), mac not in here, mac) for mac in want.senders}
    for mac in sorted(order, key=order.__getitem__):
        sender, impairment = here.get(mac), want.senders[mac]
        if sender is None:
            taken.add(class_id := class_id_for(mac, taken))
            yield from _add(tap, mac, class_id, impairment, mark)
        elif sender.impairment != impairment:
            yield from _change(tap, sender, impairment, mark)


def _add(tap: str, mac: str, class_id: int, want: Impairment, mark: int) -> Iterator[str]:
    """The filter comes last, so that no frame is sent to a class that is not ready."""
    yield f"class add dev {tap} parent {mark:x}: classid {mark:x}:{class_id:x} htb {_rate(want)}"
    if _leaf_kind(want):
        yield f"qdisc add dev {tap} parent {mark:x}:{class_id:x} handle {_leaf_handle(class_id, want):x}: {_leaf(want)}"
    yield (
        f"filter add dev {tap} parent {mark:x}: protocol all prio 1 handle {_TABLE:x}::{class_id:x}"
        f" u32 match ether src {mac} flowid {mark:x}:{class_id:x}"
    )


def _change(tap: str, sender: Sender, want: Impairment, mark: int) -> Iterator[str]:
    """Change a branch in place where the kernel can, so that frames in flight arrive.

    A distribution cannot be removed from a netem, so another leaf, with another handle, replaces it.
    """
    class_id, have = sender.class_id, sender.impairment
    parent = f"parent {mark:x}:{class_id:x}"
    if have is None or have.rate_kbit != want.rate_kbit:
        yield f"class change dev {tap} parent {mark:x}: classid {mark:x}:{class_id:x} htb {_rate(want)}"
    if have is not None and _leaf(have) == _leaf(want):
        return
    handle = _leaf_handle(class_id, want)
    if not _leaf_kind(want):
        if sender.leaf is not None:
            yield f"qdisc del dev {tap} {parent} handle {sender.leaf:x}:"
    elif have is not None and sender.leaf == handle and _leaf_kind(have) == _leaf_kind(want):
        yield f"qdisc change dev {tap} {parent} handle {handle:x}: {_leaf(want)}"
    else:
        if sender.leaf == handle:
            yield f"qdisc del dev {tap} {parent} handle {handle:x}:"
        yield f"qdisc replace dev {tap} {parent} handle {handle:x}: {_leaf(want)}"


def _restore(tap: str, mark: int) -> str:
    if mark == MARK_INSTEAD_OF_NOQUEUE:
        return f"qdisc replace dev {tap} root noqueue"
    return f"qdisc del dev {tap} root"


def _rate(want: Impairment) -> str:
    kbit = want.rate_kbit or UNLIMITED_KBIT
    burst = min(max(kbit * _BURST_MS // 8, _MIN_BURST_BYTES), _MAX_TICKED_BURST_BYTES)
    return f"rate {kbit}kbit ceil {kbit}kbit burst {burst} cburst {burst} quantum 60000"


def _leaf_kind(want: Impairment) -> str | None:
    if want.needs_netem:
        return "netem"
    return "pfifo" if want.limit_packets else None


def _leaf(want: Impairment) -> str | None:
    match _leaf_kind(want):
        case "netem":
            return _netem(want)
        case "pfifo":
            return f"pfifo limit {want.limit_packets}"
        case _:
            return None


def _netem(want: Impairment) -> str:
    """Zeros are written out: on a change the kernel keeps whatever is not given (net/sched/sch_netem.c)."""
    distribution = "" if want.distribution is Distribution.UNIFORM else f" distribution {want.distribution}"
    gap = f" gap {want.reorder_gap}" if want.reorder_gap else ""
    return (
        f"netem limit {want.limit_packets}"
        f" delay {_us(want.delay_ms)} {_us(want.jitter_ms)} {_pct(want.delay_correlation_pct)}{distribution}"
        f" loss random {_pct(want.loss_pct)} {_pct(want.loss_correlation_pct)}"
        f" duplicate {_pct(want.duplicate_pct)} 0%"
        f" corrupt {_pct(want.corrupt_pct)} 0%"
        f" reorder {_pct(want.reorder_pct)} {_pct(want.reorder_correlation_pct)}{gap}"
    )


def _us(value_ms: float) -> str:
    return f"{round(value_ms * 1000)}us"


def _pct(value: float) -> str:
    return f"{value:.10g}%"


def _leaf_handle(class_id: int, want: Impairment) -> int:
    """The class, plus the distribution in higher bits: the kernel keeps the table but never shows which one it was."""
    return _DISTRIBUTIONS.index(want.distribution) << 12 | class_id


# Parsing.


def _foreign_tree(root: Mapping[str, Any]) -> TapTree:
    if root["handle"] == "0:":
        return TapTree(MARK_INSTEAD_OF_DEFAULT)
    if root["kind"] == "noqueue":
        return TapTree(MARK_INSTEAD_OF_NOQUEUE)
    return TapTree(None, foreign=f"{root['kind']} {root['handle']}")


def _leaves(shown: list[dict[str, Any]], mark: int) -> dict[int, dict[str, Any]]:
    """Class -> the queue below it."""
    below = {qdisc["parent"]: qdisc for qdisc in shown if str(qdisc.get("parent", "")).startswith(f"{mark:x}:")}
    return {int(parent.partition(":")[2], 16): qdisc for parent, qdisc in below.items()}


def _parse_classes(text: str, mark: int) -> dict[int, int]:
    """Class -> rate in kbit/s."""
    found = (_CLASS.match(line) for line in text.splitlines())
    return {
        int(match["minor"], 16): int(match["rate"]) * _UNITS_KBIT[match["unit"]] if match["unit"] else 0
        for match in found
        if match and int(match["major"], 16) == mark
    }


def _parse_filters(text: str, mark: int) -> Iterator[tuple[str | None, int]]:
    """The sender's address and the class of each filter; no address if we would not write such a filter."""
    for block in re.split(r"^(?=filter )", text, flags=re.MULTILINE):
        head, _, matches = block.partition("\n")
        if head and not _FILTER_TABLE.search(head):
            found = _FILTER.search(head)
            ours = found is not None and int(found["major"], 16) == mark and found["item"] == found["minor"]
            yield (_source_mac(matches), int(found["minor"], 16)) if found and ours else (None, 0)


def _source_mac(text: str) -> str | None:
    matches = [_MATCH.match(line) for line in text.splitlines()]
    if [match and (match["mask"], match["offset"]) for match in matches] != _SOURCE_MAC:
        return None
    digits = "".join(match["value"] for match in matches if match)[:12]
    return ":".join(re.findall("..", digits))


def _sender(class_id: int, rate_kbit: int | None, leaf: Mapping[str, Any] | None) -> Sender:
    rate = 0 if rate_kbit in {None, UNLIMITED_KBIT} else rate_kbit or 0
    if leaf is None:
        return Sender(class_id, None, Impairment(rate_kbit=rate) if rate else None)
    handle, options = _major(leaf["handle"]), leaf.get("options", {})
    if leaf["kind"] == "pfifo" and rate:
        return Sender(class_id, handle, Impairment(rate_kbit=rate, limit_packets=options.get("limit", 0)))
    if leaf["kind"] != "netem" or handle & 0xFFF != class_id or handle >> 12 >= len(_DISTRIBUTIONS):
        return Sender(class_id, handle, None)
    return Sender(class_id, handle, _impairment(options, _DISTRIBUTIONS[handle >> 12], rate))


def _impairment(options: Mapping[str, Any], distribution: Distribution, rate_kbit: int) -> Impairment:
    delay, loss = options.get("delay", {}), options.get("loss-random", {})
    reorder = options.get("reorder", {})
    return Impairment(
        delay_ms=_ms(delay.get("delay", 0)),
        jitter_ms=_ms(delay.get("jitter", 0)),
        delay_correlation_pct=_share(delay.get("correlation", 0)),
        distribution=distribution,
        loss_pct=_share(loss.get("loss", 0)),
        loss_correlation_pct=_share(loss.get("correlation", 0)),
        duplicate_pct=_share(options.get("duplicate", {}).get("duplicate", 0)),
        corrupt_pct=_share(options.get("corrupt", {}).get("corrupt", 0)),
        reorder_pct=_share(reorder.get("reorder", 0)),
        reorder_correlation_pct=_share(reorder.get("correlation", 0)),
        reorder_gap=options.get("gap", 0),
        rate_kbit=rate_kbit,
        limit_packets=options.get("limit", 0),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1e6) / 1000


def _share(fraction: float) -> float:
    return round(fraction * 100, 4)


def _major(handle: str) -> int:
    return int(handle.partition(":")[0] or "0", 16)


def _text(raw: str | bytes) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
