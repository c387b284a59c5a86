"""What a user chooses among, in a topology, a tool or a command.

Enumerations only: the command line lists them in its help without importing the models.
"""

from enum import StrEnum


class StopMode(StrEnum):
    """How a running node is stopped: asked by ACPI, or its power cut."""

    SHUTDOWN = "shutdown"
    DESTROY = "destroy"


class ShapeName(StrEnum):
    """The shapes that a partition can have, named as in their models."""

    GROUPS = "groups"
    HALVES = "halves"
    ONE = "one"
    BRIDGE = "bridge"
    MAJORITIES_RING = "majorities-ring"
    GRUDGE = "grudge"


class Direction(StrEnum):
    """Which packets a fault hits: those from its first side to its second (`to`), those back (`from`), or both."""

    BOTH = "both"
    TO = "to"
    FROM = "from"


class CutMode(StrEnum):
    """How a partition is made: drop frames between taps, or pull the cables of isolated nodes.

    Pulling a cable cuts the node off from the host too, so SSH to it ends.
    """

    DROP = "drop"
    LINK_DOWN = "link-down"


class Distribution(StrEnum):
    """How a delay varies within its jitter, from the lightest tail to the heaviest; tc-netem(8)."""

    UNIFORM = "uniform"
    NORMAL = "normal"
    PARETONORMAL = "paretonormal"
    PARETO = "pareto"


class BuildType(StrEnum):
    """How a tree was built, which determines how it can be installed."""

    RAW_TREE = "raw_tree"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class InstallMode(StrEnum):
    """How an artifact is installed."""

    MODPROBE_PATH = "modprobe_path"
    MAKE_INSTALL = "make_install"
    RPM = "rpm"
    DEB = "deb"


class Toolset(StrEnum):
    """A group of the tools for agents; a server may offer some of them only."""

    LIFECYCLE = "lifecycle"
    EXEC = "exec"
    SNAPSHOT = "snapshot"
    ARTIFACT = "artifact"
    FAULT = "fault"
    OBSERVE = "observe"


class Confirmation(StrEnum):
    """Which tools a server asks the client's user about before it calls them."""

    NEVER = "never"
    DESTRUCTIVE = "destructive"
