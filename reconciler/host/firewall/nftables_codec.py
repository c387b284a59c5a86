"""Cuts as one nftables table per cluster, in the bridge family: frames of every kind, ARP and broadcast included.

The table's name and the comment on its rule are our marks: healing everything of a cluster is deleting one table,
and no table interferes with another cluster. Each transaction replaces the table whole, so that its old contents
never matter, and no frame passes in between. An element with a timeout heals without any process.

Facts: nft(8) and libnftables-json(5) of nftables 1.0.6, on Linux 6.1 and 6.18.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from reconciler.model.links import LEFTOVER, FirewallState, TapPair

OWNER = "vmcluster"
TABLE_PREFIX = f"{OWNER}-"
SET = "cuts"
SET_BY_MAC = "cuts_by_mac"
"""For senders on other hosts; the set and its rule exist only if there are any."""

CHAIN = "forward"
PRIORITY = -250
"""Before the rules of others in the bridge family (filter is -200): frames that we drop need no other verdict."""

_SENDERS = {SET: "iifname", SET_BY_MAC: "ether saddr"}
"""What a frame's sender is looked up by in each set."""

_SAFE_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_SAFE_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def table_name(cluster: str) -> str:
    """The table of a cluster; nft names start with a letter and may contain letters, digits and `-`."""
    return f"{TABLE_PREFIX}{cluster}"


def render_transaction(cluster: str, state: FirewallState, now: datetime) -> str:
    """Render the input of `nft -f -` that makes these the only cuts; without cuts, no table is left.

    Expired cuts are omitted.
    """
    table = f"table bridge {table_name(cluster)}"
    # Deleting a missing table fails, so it is created first (`destroy` needs nftables 1.0.8).
    clear = f"{table}\ndelete {table}\n"
    elements = {name: [*_elements(state.cuts, now, by_mac=name == SET_BY_MAC)] for name in _SENDERS}
    return clear if not any(elements.values()) else f"{clear}{_table(table, elements)}"


def parse_table(listing: str | bytes, now: datetime) -> FirewallState:
    """Parse the cuts in effect from `nft -j list table bridge NAME`.

    A table that does not work (emptied by time, its rule missing or changed, its listing unreadable) is a `LEFTOVER`:
    for a table that somebody made dormant nft 1.0.6 prints uninitialised memory, and so at times broken JSON.
    """
    try:
        objects: list[dict[str, Any]] = json.loads(listing)["nftables"]
        cuts = dict(_cuts(objects, now)) if _works(objects) else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        cuts = {}
    return FirewallState(cuts or {TapPair(LEFTOVER, LEFTOVER): None})


def parse_table_listing(listing: str | bytes) -> tuple[str, ...]:
    """Parse the clusters that have one of our tables from `nft list tables bridge`.

    The text, because the JSON of nft 1.0.6 can be broken by any one table.
    """
    text = listing.decode(errors="replace") if isinstance(listing, bytes) else listing
    return tuple(re.findall(rf"^table bridge {TABLE_PREFIX}(\S+)$", text, re.MULTILINE))


def clusters_in(tables: Iterable[str]) -> frozenset[str]:
    """The clusters that have one of these tables of the bridge family."""
    return frozenset(name.removeprefix(TABLE_PREFIX) for name in tables if name.startswith(TABLE_PREFIX))


def _table(table: str, elements: Mapping[str, list[str]]) -> str:
    used = {name: of for name, of in elements.items() if of or name == SET}
    sets = "".join(_set(name, of) for name, of in used.items())
    rules = "".join(f'    {_SENDERS[name]} . oifname @{name} counter drop comment "{OWNER}"\n' for name in used)
    return f"""{table} {{
{sets}  chain {CHAIN} {{
    type filter hook forward priority {PRIORITY}; policy accept;
{rules}  }}
}}
"""


def _set(name: str, elements: list[str]) -> str:
    listed = ",\n      ".join(elements)
    contents = f"    elements = {{\n      {listed}\n    }}\n" if elements else ""
    return f"""  set {name} {{
    typeof {_SENDERS[name]} . oifname
    flags timeout
{contents}  }}
"""


def _elements(cuts: Mapping[TapPair, datetime | None], now: datetime, *, by_mac: bool) -> Iterator[str]:
    for pair, expires_at in sorted(cuts.items()):
        if pair.by_mac is not by_mac:
            continue
        left_s = None if expires_at is None else round((expires_at - now).total_seconds())
        timeout = "" if left_s is None else f" timeout {left_s}s"
        if left_s is None or left_s > 0:
            yield f"{_mac(pair.sender) if by_mac else _quoted(pair.sender)} . {_quoted(pair.receiver)}{timeout}"


def _mac(address: str) -> str:
    if not _SAFE_MAC.fullmatch(address):
        raise ValueError(f"{address!r} is not a MAC address")
    return address


def _quoted(interface: str) -> str:
    if not _SAFE_INTERFACE.fullmatch(interface):
        raise ValueError(f"{interface!r} is not one of our interface names")
    return f'"{interface}"'


def _works(objects: list[dict[str, Any]]) -> bool:
    """Whether each of our sets that is there is looked up by exactly one rule, and nothing else is in the table."""
    dormant = any("flags" in entry["table"] for entry in objects if "table" in entry)
    chain: dict[str, Any] = next((entry["chain"] for entry in objects if "chain" in entry), {})
    rules = [entry["rule"] for entry in objects if "rule" in entry]
    sets = [entry["set"]["name"] for entry in objects if "set" in entry]
    hooked = (chain.get("type"), chain.get("hook")) == ("filter", "forward")
    return hooked and not dormant and SET in sets and [*map(_looked_up, rules)] == sets


def _looked_up(rule: dict[str, Any]) -> str | None:
    """The set that our rule drops by; None if it is another rule."""
    statements = [statement for statement in rule["expr"] if "counter" not in statement]
    ours = rule.get("comment") == OWNER
    return next((name for name in _SENDERS if ours and statements == [{"match": _match(name)}, {"drop": None}]), None)


def _match(name: str) -> dict[str, Any]:
    sender = _meta("iifname") if name == SET else {"payload": {"protocol": "ether", "field": "saddr"}}
    return {"op": "==", "left": {"concat": [sender, _meta("oifname")]}, "right": f"@{name}"}


def _meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def _cuts(objects: list[dict[str, Any]], now: datetime) -> Iterator[tuple[TapPair, datetime | None]]:
    elements: list[Any] = [element for entry in objects if "set" in entry for element in entry["set"].get("elem", [])]
    for element in elements:
        timed = element.get("elem")
        sender, receiver = (timed["val"] if timed else element)["concat"]
        left_s = timed.get("expires") if timed else None
        yield TapPair(sender, receiver), None if left_s is None else now + timedelta(seconds=left_s)
