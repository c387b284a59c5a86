"""The order in which a plan is carried out."""

from enum import IntEnum


class Stage(IntEnum):
    """When an action is carried out. A stage starts once the one before it has ended on every node."""

    HOLD = 0
    PREPARE = 1  # anything that fails here fails before anything was removed
    HEAL = 2
    POWER_DOWN = 3
    UNDEFINE = 4
    NETWORK = 5
    FILES = 6
    DEFINE = 7
    POWER_UP = 8
    LINKS = 9  # all taps exist now, and nodes that must not run without their links are paused
    RUN = 10
    TELL = 11  # the nodes that run of the new ones; each takes a command in a guest
    FLATTEN = 12
    SNAPSHOT = 13
    GIVE_BACK = 14  # before the layers that record the owners are deleted
    REMOVE_SNAPSHOTS = 15  # if one stays, as a fork came to hold it, so do the files
    REMOVE_FILES = 16
    REMOVE_NETWORK = 17
    RELEASE = 18
