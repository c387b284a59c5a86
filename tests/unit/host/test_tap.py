"""Cables of taps, as `ip` shows and changes them. Sample: iproute2 6.1."""

import json
from pathlib import Path

import pytest

from reconciler.errors import OperationFailed
from reconciler.host import tap
from reconciler.host.tap import Cable, existing_taps, parse_cables, render_cables

SHOWN = json.dumps(
    [
        {"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"]},
        {"ifindex": 2, "ifname": "vmc-a", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "operstate": "UP"},
        {"ifindex": 3, "ifname": "vmc-b", "flags": ["NO-CARRIER", "BROADCAST", "UP"], "operstate": "DOWN"},
        {"ifindex": 4, "ifname": "vmc-c", "flags": ["BROADCAST", "MULTICAST"], "operstate": "DOWN"},
    ]
).encode()
UP, DOWN = Cable(up=True), Cable(up=False)


def test_a_cable_is_down_where_somebody_put_it_down_not_where_nobody_is_at_its_end() -> None:
    cables = parse_cables(SHOWN, {"vmc-a", "vmc-b", "vmc-c", "vmc-gone"})
    assert cables == {"vmc-a": UP, "vmc-b": UP, "vmc-c": DOWN}


def test_only_cables_that_differ_are_told() -> None:
    cables = {"vmc-a": UP, "vmc-b": UP, "vmc-c": DOWN, "vmc-d": DOWN}
    assert render_cables(cables, {"vmc-b", "vmc-c"}) == "link set dev vmc-b down\nlink set dev vmc-d up\n"
    assert render_cables(cables, {"vmc-c", "vmc-d", "vmc-gone"}) == ""


def test_one_look_tells_which_interfaces_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "_INTERFACES", tmp_path)
    for name in ("vmc-a", "vmc-b", "eth0"):
        (tmp_path / name).mkdir()
    assert existing_taps(["vmc-a", "vmc-b", "vmc-c"]) == {"vmc-a", "vmc-b"}
    monkeypatch.setattr(tap, "_INTERFACES", tmp_path / "unmounted")
    with pytest.raises(OperationFailed, match="cannot read the host's interfaces"):
        existing_taps(["vmc-a"])
