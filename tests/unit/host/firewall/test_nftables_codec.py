"""Cuts to nft's input, and back from what nft prints of them, also after people have changed them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.host.firewall.nftables_codec import parse_table, parse_table_listing, render_transaction
from reconciler.model.links import LEFTOVER, FirewallState, TapPair

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.stem.removeprefix("tables.nftables-") for path in GOLDEN.glob("tables.nftables-*"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CUTS = FirewallState({TapPair("vmc-0b", "vmc-0c"): NOW + timedelta(seconds=300), TapPair("vmc-0a", "vmc-0b"): None})
RENDERED = """\
table bridge vmcluster-lab
delete table bridge vmcluster-lab
table bridge vmcluster-lab {
  set cuts {
    typeof iifname . oifname
    flags timeout
    elements = {
      "vmc-0a" . "vmc-0b",
      "vmc-0b" . "vmc-0c" timeout 300s
    }
  }
  chain forward {
    type filter hook forward priority -250; policy accept;
    iifname . oifname @cuts counter drop comment "vmcluster"
  }
}
"""


def golden(name: str, version: str = VERSIONS[0]) -> str:
    return (GOLDEN / f"{name}.nftables-{version}.json").read_text()


def test_all_cuts_are_one_transaction_that_replaces_our_table_only() -> None:
    assert render_transaction("lab", CUTS, NOW) == RENDERED


def test_without_cuts_no_table_is_left() -> None:
    healed = "table bridge vmcluster-lab\ndelete table bridge vmcluster-lab\n"
    assert render_transaction("lab", FirewallState(), NOW) == healed


def test_a_cut_whose_time_has_come_is_not_made_again() -> None:
    assert "vmc-0c" not in render_transaction("lab", CUTS, NOW + timedelta(seconds=300))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_nft_prints_is_read_back(version: str) -> None:
    cuts = parse_table(golden("table", version), NOW).cuts
    assert cuts.keys() == {TapPair("vmc-0a", "vmc-0b"), TapPair("vmc-0b", "vmc-0c")}
    assert cuts[TapPair("vmc-0a", "vmc-0b")] is None
    until = cuts[TapPair("vmc-0b", "vmc-0c")]
    assert until is not None
    assert 250 < (until - NOW).total_seconds() <= 300, "as long as it took to list it is gone"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("changed", ["emptied", "accepting", "without-rule", "dormant"])
def test_a_table_that_cuts_nothing_differs_from_all_that_can_be_desired(changed: str, version: str) -> None:
    assert parse_table(golden(changed, version), NOW).cuts == {TapPair(LEFTOVER, LEFTOVER): None}


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"nftables": [{"rule": {}}]}', '{"nftables": 1}'])
def test_a_listing_that_cannot_be_read_is_no_cut(broken: str) -> None:
    assert parse_table(broken, NOW).cuts == {TapPair(LEFTOVER, LEFTOVER): None}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_clusters_that_have_a_table_are_found_without_any_record(version: str) -> None:
    assert parse_table_listing((GOLDEN / f"tables.nftables-{version}.txt").read_bytes()) == ("lab", "lab-2")


def test_senders_on_other_hosts_are_cut_by_their_address_in_the_same_transaction() -> None:
    cuts = {TapPair("52:00:00:00:00:0c", "vmc-0b"): None, **CUTS.cuts}
    rendered = render_transaction("lab", FirewallState(cuts), NOW)
    assert "  set cuts_by_mac {\n    typeof ether saddr . oifname\n" in rendered
    assert '52:00:00:00:00:0c . "vmc-0b"' in rendered
    assert '    ether saddr . oifname @cuts_by_mac counter drop comment "vmcluster"\n  }\n' in rendered


@pytest.mark.parametrize("version", VERSIONS)
def test_senders_on_other_hosts_are_read_back(version: str) -> None:
    shown = golden("by_mac", version)
    assert parse_table(shown, NOW).cuts.keys() == {
        TapPair("vmc-0a", "vmc-0b"),
        TapPair("52:00:00:00:00:0c", "vmc-0b"),
        TapPair("52:00:00:00:00:0d", "vmc-0b"),
    }
    changed = shown.replace('"@cuts_by_mac"', '"@cuts"')
    assert parse_table(changed, NOW).cuts == {TapPair(LEFTOVER, LEFTOVER): None}, "a set that no rule looks up"


def test_no_name_can_break_out_of_its_quotes() -> None:
    with pytest.raises(ValueError, match="not one of our interface names"):
        render_transaction("lab", FirewallState({TapPair('a" . "b', "c"): None}), NOW)
    with pytest.raises(ValueError, match="not a MAC address"):
        render_transaction("lab", FirewallState({TapPair("52:00 . x", "c"): None}), NOW)
