"""The part of a record that one host works on: its own nodes, beside which it knows the others. Pure."""

from hashlib import sha256

from reconciler.model.record import ClusterRecord


def part_of(record: ClusterRecord, host: str, home: str = "") -> ClusterRecord:
    """The record with the nodes of one host only; the others are `elsewhere`.

    Nodes without a host are on `home`. A record whose nodes are all here is its own part.
    """
    nodes = record.spec.nodes
    here = {name for name, node in nodes.items() if (node.host or home) == host}
    if len(here) == len(nodes):
        return record
    spec = record.spec.model_copy(
        update={
            "nodes": {name: node for name, node in nodes.items() if name in here},
            "elsewhere": {name: node for name, node in nodes.items() if name not in here},
        }
    )
    intents = {name: intent for name, intent in record.nodes.items() if name in here}
    return record.model_copy(update={"spec": spec, "nodes": intents})


def revert_of(record: ClusterRecord) -> str | None:
    """What names the last revert of all nodes among all reverts; None if the nodes do not stand on one snapshot."""
    intents = record.nodes.values()
    based_on = {intent.based_on for intent in intents}
    if len(based_on) != 1 or None in based_on:
        return None
    revisions = ",".join(f"{name}={intent.disk_revision}" for name, intent in sorted(record.nodes.items()))
    return f"revert-{sha256(revisions.encode()).hexdigest()[:16]}"
