"""Which nodes a plan does something about. Pure."""

from reconciler.model.plan import Plan

OF_NO_NODE = ""
"""Stands for what belongs to no single node, such as the network."""


def unsettled_nodes(plan: Plan) -> frozenset[str] | None:
    """The nodes that something is done about, or waited for.

    None if an obstacle of one node keeps the others from their desired state too.
    """
    if plan.foreign or plan.all_or_nothing:
        return None
    return plan.waiting | {action.node or OF_NO_NODE for action in plan.actions}
