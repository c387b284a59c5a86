"""Cuts to iptables-restore's input, and back from what iptables-save prints, also after people have changed them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.host.firewall.iptables_codec import Chains, parse_save, render_iptables_restore
from reconciler.model.links import LEFTOVER, FirewallState, TapPair

GOLDEN = Path(__file__).parent / "golden"
TOOLS = sorted(path.stem.removeprefix("cuts.") for path in GOLDEN.glob("cuts.*tables*"))
IPTABLES = [tool for tool in TOOLS if tool.startswith("iptables-1")]
UNTIL = datetime(2026, 11, 22, 18, tzinfo=UTC)
NOW = UNTIL - timedelta(seconds=60)
CUTS = FirewallState({TapPair("vmc-0a", "vmc-0b"): None, TapPair("vmc-0b", "vmc-0c"): UNTIL})
JUMP = "FORWARD -m comment --comment vmcluster-lab -j VMC-a51146d38077ff99"
INSERTED = f"-I {JUMP}".replace("FORWARD", "FORWARD 1")
RULE = "-A VMC-a51146d38077ff99 -m physdev"
RULES = [
    f"{RULE} --physdev-in vmc-0a --physdev-out vmc-0b -j DROP",
    f"{RULE} --physdev-in vmc-0b --physdev-out vmc-0c -m time --datestop 2026-11-22T18:00:00 -j DROP",
]
CHAIN = ":VMC-a51146d38077ff99 - [0:0]"


def saved(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text()


def restored(name: str, state: FirewallState = CUTS) -> list[str]:
    return render_iptables_restore("lab", state, parse_save(saved(name), "lab"), NOW).splitlines()


@pytest.mark.parametrize("tool", TOOLS)
def test_what_was_restored_is_read_back(tool: str) -> None:
    assert parse_save(saved(f"cuts.{tool}"), "lab") == Chains(CUTS, exists=True, jumps=1, jumps_first=True)


@pytest.mark.parametrize("tool", IPTABLES)
def test_on_a_host_without_our_chain_it_is_made_and_asked_first(tool: str) -> None:
    found = parse_save(saved(f"healed.{tool}"), "lab")
    assert found == Chains()
    assert render_iptables_restore("lab", CUTS, found, NOW).splitlines() == [
        "*filter",
        CHAIN,
        INSERTED,
        *RULES,
        "COMMIT",
    ]


@pytest.mark.parametrize("tool", IPTABLES)
def test_where_the_chain_is_asked_first_only_its_rules_are_written(tool: str) -> None:
    assert restored(f"cuts.{tool}") == ["*filter", CHAIN, *RULES, "COMMIT"]


@pytest.mark.parametrize("tool", IPTABLES)
def test_a_chain_that_others_stand_before_cuts_nothing_and_moves_to_the_front(tool: str) -> None:
    overtaken = parse_save(saved(f"overtaken.{tool}"), "lab")
    assert overtaken.firewall.cuts == {TapPair(LEFTOVER, LEFTOVER): None}
    assert restored(f"overtaken.{tool}")[1:4] == [CHAIN, f"-D {JUMP}", INSERTED]


def test_chains_of_two_clusters_do_not_fight_for_the_first_place() -> None:
    other = "-A FORWARD -m comment --comment vmcluster-other -j VMC-0123456789abcdef\n"
    both = saved("cuts.iptables-1.8.9").replace("-A FORWARD -m comment", f"{other}-A FORWARD -m comment")
    assert parse_save(both, "lab").firewall == CUTS


@pytest.mark.parametrize("tool", IPTABLES)
@pytest.mark.parametrize("changed", ["unhooked", "returning"])
def test_a_chain_that_people_made_useless_is_a_leftover(changed: str, tool: str) -> None:
    assert parse_save(saved(f"{changed}.{tool}"), "lab").firewall.cuts == {TapPair(LEFTOVER, LEFTOVER): None}


@pytest.mark.parametrize("tool", IPTABLES)
def test_a_flushed_hook_gets_its_jump_back(tool: str) -> None:
    assert restored(f"unhooked.{tool}") == ["*filter", CHAIN, INSERTED, *RULES, "COMMIT"]


@pytest.mark.parametrize("tool", IPTABLES)
def test_healing_takes_away_our_chain_and_nothing_else(tool: str) -> None:
    name = "VMC-a51146d38077ff99"
    expected = ["*filter", f"-D {JUMP}", f"-F {name}", f"-X {name}", "COMMIT"]
    assert restored(f"cuts.{tool}", FirewallState()) == expected


def test_where_nothing_is_and_nothing_is_desired_nothing_is_done() -> None:
    assert render_iptables_restore("lab", FirewallState(), Chains(), NOW) == ""


def test_a_cut_whose_time_has_come_is_not_made_again() -> None:
    assert "vmc-0c" not in render_iptables_restore("lab", CUTS, Chains(), UNTIL)
