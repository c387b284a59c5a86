"""The queues of many taps in one listing, told apart. Samples: iproute2 6.1, Linux 6.18."""

import json

import pytest

from reconciler.host.tc.listing import (
    ListingChanged,
    failed_line,
    marked_taps,
    parse_qdiscs,
    parse_trees,
    render_show,
)
from reconciler.model.links import Impairment, TapQdisc

QDISCS = json.dumps(
    [
        {"kind": "noqueue", "handle": "0:", "dev": "lo", "root": True, "refcnt": 2, "options": {}},
        {"kind": "htb", "handle": "1:", "dev": "eth0", "root": True, "refcnt": 2, "options": {"default": "0"}},
        *(
            {"kind": "htb", "handle": "4d41:", "dev": tap, "root": True, "refcnt": 2, "options": {"default": "0"}}
            for tap in ("vmc-a", "vmc-b")
        ),
        {"kind": "noqueue", "handle": "8001:", "dev": "vmc-c", "root": True, "refcnt": 2, "options": {}},
    ]
)
TAPS = ("vmc-a", "vmc-b", "vmc-c", "vmc-d")


def shown(mac_words: str, rate: str) -> str:
    return (
        "qdisc htb 4d41: root refcnt 2 r2q 10 default 0 direct_packets_stat 1 direct_qlen 1000\n"
        f"class htb 4d41:5 root prio 0 rate {rate} ceil {rate} burst 3200b cburst 3200b \n"
        "filter parent 4d41: protocol all pref 1 u32 chain 0 \n"
        "filter parent 4d41: protocol all pref 1 u32 chain 0 fh 800: ht divisor 1 \n"
        "filter parent 4d41: protocol all pref 1 u32 chain 0 fh 800::5 order 5 key ht 800 bkt 0 flowid 4d41:5"
        " not_in_hw \n"
        f"  match {mac_words}/ffffffff at -8\n"
        "  match 00030000/ffff0000 at -4\n"
    )


LISTING = (shown("52000001", "1Mbit") + shown("52000002", "2Mbit")).encode()


def shaped(mac: str, rate_kbit: int) -> TapQdisc:
    return TapQdisc({mac: Impairment(rate_kbit=rate_kbit)})


def test_only_taps_that_have_our_mark_are_asked_for_more() -> None:
    assert marked_taps(parse_qdiscs(QDISCS, TAPS)) == ("vmc-a", "vmc-b")
    assert render_show(["vmc-a"]) == "qdisc show dev vmc-a\nclass show dev vmc-a\nfilter show dev vmc-a\n"


def test_each_tap_gets_what_is_its_own() -> None:
    trees = parse_trees(parse_qdiscs(QDISCS, TAPS), LISTING)
    assert trees["vmc-a"].shaping == shaped("52:00:00:01:00:03", 1000)
    assert trees["vmc-b"].shaping == shaped("52:00:00:02:00:03", 2000)
    assert not trees["vmc-c"].ours
    assert trees["vmc-d"].shaping == TapQdisc()


def test_a_tap_that_has_gone_meanwhile_is_left_out_and_the_next_one_keeps_its_own() -> None:
    gone = b'Cannot find device "vmc-a"\nCommand failed -:1\nCannot find device "vmc-a"\nCommand failed -:2\n'
    trees = parse_trees(parse_qdiscs(QDISCS, TAPS), shown("52000002", "2Mbit").encode(), gone)
    assert "vmc-a" not in trees
    assert trees["vmc-b"].shaping == shaped("52:00:00:02:00:03", 2000)


def test_listings_of_different_queues_are_not_guessed_together() -> None:
    with pytest.raises(ListingChanged):
        parse_trees(parse_qdiscs(QDISCS, TAPS), shown("52000002", "2Mbit").encode())


def test_a_failed_line_is_known_by_its_number() -> None:
    assert failed_line("Error: Specified qdisc kind is unknown.\nCommand failed -:7\nCommand failed -:9\n") == 7
    assert failed_line("Error: something else") is None
