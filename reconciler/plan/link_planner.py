"""What links need: which nodes wait until theirs are set, and the one action that sets all of them.

A cut is a rule about the names of taps and outlives the machines. Impairments and pulled cables belong to a tap,
which comes and goes with its machine: a node that boots has none of them yet.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from reconciler.faults.compile_links import same_inbound
from reconciler.faults.words import impairment_in_words
from reconciler.model.document import PULLED, ClusterDocument, NodeLinks, Power, PowerState, Unknown
from reconciler.model.links import Inbound, Link
from reconciler.model.plan import ChangeKind, Disruption, HealLinks, LinkChange, ResumeMemory, SetLinks, Start

Links = Mapping[str, NodeLinks]

_MOST_NODES_IN_A_REASON = 3
_MOST_SENDERS_IN_A_REASON = 6
_NOTHING = NodeLinks()


def waits_for_links(desired: ClusterDocument, observed: ClusterDocument, node: str) -> bool:
    """Whether the node must boot paused until links are set: its own, or those its packets pass.

    If no links are desired, the existing ones are healed before any node boots.
    """
    want, have = known_links(desired), known_links(observed)
    if node in want and want[node].needs_tap:
        return True
    concerned = {receiver: of for receiver, of in want.items() if receiver == node or node in of.links}
    if want:
        concerned.setdefault(node, _NOTHING)
    return any(not same_inbound(have.get(receiver), of) for receiver, of in concerned.items())


def plan_links(
    desired: ClusterDocument, observed: ClusterDocument, others: Iterable[object] = ()
) -> Iterator[SetLinks | HealLinks]:
    """The action that sets all links as desired, given `others` of the same plan; None if they already are.

    A node that `others` power on gets a new tap, which has none of its links yet.
    """
    if any(isinstance(of, Unknown) for of in observed.links.values()):
        return
    coming_up = {action.node for action in others if isinstance(action, Start | ResumeMemory)}
    want, have = _possible(desired, observed, coming_up), _after(observed, coming_up)
    changes = {
        receiver: _change(have.get(receiver, _NOTHING), want.get(receiver, _NOTHING))
        for receiver in sorted(want.keys() | have.keys())
        if not same_inbound(have.get(receiver), want.get(receiver))
    }
    if not changes:
        return
    if known_links(desired):
        yield SetLinks(
            links=dict(known_links(desired)), changes=changes, reason=_all_in_words(changes), disruption=Disruption.LIVE
        )
    else:
        yield HealLinks(
            changes=changes, reason=_all_in_words(changes), change=ChangeKind.DELETE, disruption=Disruption.LIVE
        )


def known_links(document: ClusterDocument) -> Links:
    """The links that could be observed."""
    return {node: of for node, of in document.links.items() if not isinstance(of, Unknown)}


def _possible(desired: ClusterDocument, observed: ClusterDocument, coming_up: Collection[str]) -> Mapping[str, Inbound]:
    """The desired links that can be set now: for a node without a tap, only the cuts."""
    return {
        node: of if node in coming_up or _has_tap(observed, node) else of.cuts_only
        for node, of in known_links(desired).items()
    }


def _after(observed: ClusterDocument, coming_up: Collection[str]) -> Mapping[str, Inbound]:
    """The links that are left once the nodes coming up have new taps; on a tap in doubt only the cuts count."""
    new = {*coming_up, *(node for node, of in observed.power.items() if isinstance(of, Unknown))}
    return {node: of.cuts_only if node in new else of for node, of in known_links(observed).items()}


def _has_tap(observed: ClusterDocument, node: str) -> bool:
    power = observed.power.get(node)
    return isinstance(power, Power) and power.state is not PowerState.OFF


# The reasons, as text.


def _change(have: Inbound, want: Inbound) -> LinkChange:
    causes = want.causes if isinstance(want, NodeLinks) else {}
    parts = [*_arriving(have, want, causes), *_leaving(have, want)]
    nothing = Inbound()
    kind = ChangeKind.CREATE if same_inbound(have, nothing) else ChangeKind.UPDATE
    return LinkChange(reason="; ".join(parts), change=ChangeKind.DELETE if same_inbound(want, nothing) else kind)


def _arriving(have: Inbound, want: Inbound, causes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if want.down and not have.down:
        yield f"its cable is pulled{_because(causes.get(PULLED, ()))}"
    by_effect: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for sender, link in want.links.items():
        if not same_inbound(Inbound(links={sender: link}), _only(have, sender)):
            by_effect.setdefault((_effect(link), causes.get(sender, ())), []).append(sender)
    for (effect, handles), senders in by_effect.items():
        yield effect.format(_shortened(senders, _MOST_SENDERS_IN_A_REASON)) + _because(handles)


def _leaving(have: Inbound, want: Inbound) -> Iterator[str]:
    if have.down and not want.down:
        yield "its cable is plugged in again"
    if gone := [sender for sender in have.links if sender not in want.links]:
        yield f"hears {_shortened(gone, _MOST_SENDERS_IN_A_REASON)} again"


def _only(have: Inbound, sender: str) -> Inbound:
    return Inbound(links={sender: have.links[sender]} if sender in have.links else {})


def _effect(link: Link) -> str:
    """The effect of a link, with a `{}` for its senders."""
    if link.impairment is None:
        return "cut from {}"
    impairment = impairment_in_words(link.impairment)
    return f"cut from {{}}, and when that is healed {impairment}" if link.cut else f"from {{}}: {impairment}"


def _because(handles: tuple[str, ...]) -> str:
    return f" ({', '.join(handles)})" if handles else ""


def _all_in_words(changes: Mapping[str, LinkChange]) -> str:
    shown = [f"{node}: {of.reason}" for node, of in islice(changes.items(), _MOST_NODES_IN_A_REASON)]
    more = len(changes) - len(shown)
    return "; ".join([*shown, *([f"and {more} more nodes"] if more else [])])


def _shortened(names: list[str], most: int) -> str:
    shown = names if len(names) <= most else names[: most - 1]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
