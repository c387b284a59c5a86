"""What somebody looks at, and wants to hear of when it may have changed. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class View(StrEnum):
    """What of the clusters, or of one of them, is looked at."""

    CLUSTERS = "clusters"
    STATUS = "status"
    TOPOLOGY = "topology"
    PLAN = "plan"
    EVENTS = "events"
    FAULTS = "faults"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Viewed:
    """One thing that is looked at; a cluster, topology or node of that name need not exist yet."""

    view: View
    cluster: str = ""
    node: str = ""
