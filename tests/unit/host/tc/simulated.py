"""A tc in memory: takes the lines of `tc -batch` and shows what iproute2 6.1 shows, with its roundings.

It refuses what the kernel refuses: what is there already, what is not there, a duplicating netem beside another.
The golden samples keep it honest: what it shows after a batch is what the real one showed.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

TICKS_PER_US = 15.625


class TcRefused(Exception):
    """RTNETLINK answers: no."""


@dataclass
class SimulatedTap:
    """One tap with its root queue, the classes, leaves and filters below it."""

    root: tuple[str, str] = ("noqueue", "80c5:")
    default: tuple[str, str] = ("pfifo_fast", "0:")
    classes: dict[str, int] = field(default_factory=dict)
    leaves: dict[str, tuple[str, str, dict[str, Any]]] = field(default_factory=dict)
    filters: dict[str, tuple[str, str]] = field(default_factory=dict)

    def batch(self, text: str) -> None:
        """Carry out each line."""
        for line in text.splitlines():
            words = line.split()
            what, verb, rest = words[0], words[1], words[4:]
            match what, verb:
                case "qdisc", _ if rest[0] == "root":
                    self._root(verb, rest[1:])
                case "qdisc", _:
                    self._leaf(verb, rest[1], rest[3], rest[4:])
                case "class", "del":
                    del self.classes[rest[1]]
                    self.leaves.pop(rest[1], None)
                case "class", _:
                    self._class(verb, rest[3], rest)
                case "filter", "add":
                    self._filter(rest[rest.index("handle") + 1], rest[rest.index("src") + 1], rest[-1])
                case "filter", "del":
                    del self.filters[rest[rest.index("handle") + 1]]
                case _:
                    raise AssertionError(line)

    def show(self) -> tuple[str, str, str]:
        """What `tc -j qdisc show`, `tc class show` and `tc filter show` print."""
        return json.dumps(self._shown_qdiscs()), self._shown_classes(), self._shown_filters()

    def _root(self, verb: str, words: list[str]) -> None:
        self.classes, self.leaves, self.filters = {}, {}, {}
        if verb == "del":
            self.root = self.default
        elif words[0] == "noqueue":
            self.root = ("noqueue", "80c6:")
        else:
            assert words[0] == "handle"
            assert words[2:] == ["htb", "default", "0", "direct_qlen", "1000"]
            self.root = ("htb", words[1])

    def _class(self, verb: str, class_id: str, words: list[str]) -> None:
        if (verb == "add") == (class_id in self.classes):
            raise TcRefused(f"{verb} {class_id}")
        self.classes[class_id] = int(words[words.index("rate") + 1].removesuffix("kbit"))

    def _leaf(self, verb: str, parent: str, handle: str, words: list[str]) -> None:
        if parent not in self.classes or (verb == "add" and parent in self.leaves):
            raise TcRefused(f"{verb} below {parent}")
        if verb == "del":
            assert self.leaves.pop(parent)[1] == handle
            return
        kind, have = words[0], self.leaves.get(parent)
        if have is not None and have[1] == handle and have[0] != kind:
            raise TcRefused(f"{handle} is a {have[0]}")
        if verb == "change":
            assert have is not None
            assert have[1] == handle
        options = netem_options(words[1:]) if kind == "netem" else {"limit": int(words[2])}
        leaves = {**self.leaves, parent: (kind, handle, options)}
        netems = [leaf for leaf in leaves.values() if leaf[0] == "netem"]
        if len(netems) > 1 and any("duplicate" in leaf[2] for leaf in netems):
            raise TcRefused("netem: cannot mix duplicating netems with other netems in tree.")
        self.leaves = leaves

    def _filter(self, handle: str, mac: str, flow: str) -> None:
        if handle in self.filters or flow not in self.classes:
            raise TcRefused(handle)
        self.filters[handle] = (mac, flow)

    def _shown_qdiscs(self) -> list[dict[str, Any]]:
        kind, handle = self.root
        options = {"r2q": 10, "default": "0", "direct_packets_stat": 0, "direct_qlen": 1000} if kind == "htb" else {}
        shown: list[dict[str, Any]] = [{"kind": kind, "handle": handle, "root": True, "refcnt": 2, "options": options}]
        for parent, (leaf, leaf_handle, leaf_options) in self.leaves.items():
            shown.append({"kind": leaf, "handle": leaf_handle, "parent": parent, "options": leaf_options})
        return shown

    def _shown_classes(self) -> str:
        lines = []
        for class_id, kbit in self.classes.items():
            leaf = f" leaf {self.leaves[class_id][1]}" if class_id in self.leaves else ""
            rate = shown_rate(kbit)
            lines.append(f"class htb {class_id} root{leaf} prio 0 rate {rate} ceil {rate} burst 15Kb cburst 15Kb \n")
        return "".join(lines)

    def _shown_filters(self) -> str:
        head = "filter parent 4d40: protocol all pref 1 u32 chain 0 "
        lines = [head, f"{head}fh 800: ht divisor 1 "] if self.filters else []
        for handle, (mac, flow) in self.filters.items():
            digits = mac.replace(":", "")
            lines.append(f"{head}fh {handle} order 1 key ht 800 bkt 0 *flowid {flow} not_in_hw ")
            lines.append(f"  match {digits[:8]}/ffffffff at -8")
            lines.append(f"  match {digits[8:]}0000/ffff0000 at -4")
        return "\n".join([*lines, ""])


def shown_rate(kbit: int) -> str:
    """As `tc class show` prints a rate: cut off, never rounded."""
    value, unit = kbit, "K"
    for larger in "MGT":
        if value < 1000 or (value % 1000 and value < 1000 * 1000):
            break
        value, unit = value // 1000, larger
    return f"{value}{unit}bit"


def netem_options(words: list[str]) -> dict[str, Any]:
    """As `tc -j qdisc show` prints netem's options."""
    groups: dict[str, list[str]] = {}
    for word in words:
        if word in {"limit", "delay", "distribution", "loss", "duplicate", "corrupt", "reorder", "gap"}:
            groups[word] = []
        elif word != "random":
            groups[list(groups)[-1]].append(word)
    shown: dict[str, Any] = {"limit": int(groups["limit"][0])}
    delay, jitter, correlation = groups["delay"]
    if delay != "0us":
        shown["delay"] = {"delay": _seconds(delay), "jitter": _seconds(jitter), "correlation": _fraction(correlation)}
    for name, key, value in (
        ("loss", "loss-random", "loss"),
        ("duplicate", "duplicate", "duplicate"),
        ("reorder", "reorder", "reorder"),
        ("corrupt", "corrupt", "corrupt"),
    ):
        if groups[name][0] != "0%":
            shown[key] = {value: _fraction(groups[name][0]), "correlation": _fraction(groups[name][1])}
    return {**shown, "ecn": False, "gap": int(groups["gap"][0]) if "gap" in groups else 0}


def _seconds(us: str) -> float:
    ticks = math.floor(int(us.removesuffix("us")) * TICKS_PER_US)
    assert ticks < 2**32, "Illegal time (too large)"
    return float(f"{math.floor(ticks / TICKS_PER_US) / 1e6:.6g}")


def _fraction(percent: str) -> float:
    return float(f"{math.floor(float(percent.removesuffix('%')) / 100 * (2**32 - 1)) / (2**32 - 1):.6g}")
