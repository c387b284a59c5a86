"""What happens in a soak: a pure function of the seed, so that any run can be repeated."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

NODES = ("n0", "n1", "n2")
FIXED_NODES = NODES[:2]
"""The nodes that every topology of the soak has."""

SNAPSHOTS = ("s1", "s2", "s3")
RATES_KBIT = (1_000, 10_000)
MEMORIES_MIB = (64, 96)

_CLIENTS = 2
_SECOND_IS_IDLE = 0.3
_DAMAGED = 0.7
_LATEST_DAMAGE_S = 1.2
_INTRUDED = 0.4


@dataclass(frozen=True, slots=True)
class Start:
    """All nodes on."""


@dataclass(frozen=True, slots=True)
class Stop:
    """All nodes off, their power cut."""


@dataclass(frozen=True, slots=True)
class Crash:
    """One node's power cut, and perhaps on again."""

    node: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Create:
    """A snapshot."""

    name: str
    memory: bool


@dataclass(frozen=True, slots=True)
class Revert:
    """Back to a snapshot."""

    name: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """A snapshot's name gone."""

    name: str


@dataclass(frozen=True, slots=True)
class Partition:
    """One node cut off from another."""

    one: str
    other: str


@dataclass(frozen=True, slots=True)
class Impair:
    """Slow down what a node sends; by a rate, the only impairment that every host's kernel supports."""

    source: str
    rate_kbit: int


@dataclass(frozen=True, slots=True)
class Heal:
    """The oldest fault gone, or all of them."""

    every: bool


@dataclass(frozen=True, slots=True)
class Apply:
    """Another topology: with or without the third node, or with other memory in the second."""

    nodes: int
    memory_mib: int


Operation = Start | Stop | Crash | Create | Revert | Delete | Partition | Impair | Heal | Apply


class Damage(StrEnum):
    """What is changed on the host without telling the service."""

    SERVICE_KILLED = "the service is killed"
    SERVICE_ENDED = "the service is told to end"
    LIBVIRTD_ENDED = "libvirtd is restarted"
    LIBVIRTD_KILLED = "libvirtd is killed and started again"
    RULES_FLUSHED = "all rules for bridges are deleted"
    QUEUES_DELETED = "the queues of all taps are deleted"
    DOMAIN_DESTROYED = "a domain's power is cut"
    DOMAIN_UNDEFINED = "a domain is undefined"
    DOMAIN_ALTERED = "a domain's definition is altered"
    NETWORK_STOPPED = "the network is stopped"
    TAP_UNPLUGGED = "a tap is unplugged"


class Intruder(StrEnum):
    """Another store that tries to act on the cluster."""

    SECOND_STORE = "a second store wants a cluster of that name"
    OLDER_COPY = "an older copy of the store comes back"


@dataclass(frozen=True, slots=True)
class Step:
    """What the clients request at the same time, and the damage that follows after a delay.

    `pick` chooses among what the damage finds; `away_s` is how long a daemon is away.
    """

    number: int
    operations: tuple[Operation, ...]
    damage: Damage | None
    after_s: float
    away_s: float
    pick: int
    intruder: Intruder | None = None

    @property
    def pattern(self) -> int:
        """What the guests write before the step."""
        return self.number % 255 + 1

    def __str__(self) -> str:
        damaged = f", {self.damage} after {self.after_s:.2f} s" if self.damage else ""
        intruded = f", {self.intruder}" if self.intruder else ""
        return f"step {self.number}: {' | '.join(map(repr, self.operations))}{damaged}{intruded}"


def steps(seed: int) -> Iterator[Step]:
    """The steps of a soak, an endless sequence."""
    chance, of_intruders = Random(seed), Random(seed + 1)
    number = 0
    while True:
        number += 1
        clients = 1 if chance.random() < _SECOND_IS_IDLE else _CLIENTS
        yield Step(
            number=number,
            operations=tuple(_operation(chance) for _ in range(clients)),
            damage=chance.choice(list(Damage)) if chance.random() < _DAMAGED else None,
            after_s=chance.uniform(0, _LATEST_DAMAGE_S),
            away_s=chance.uniform(0, 1.0),
            pick=chance.randrange(1000),
            intruder=of_intruders.choice(list(Intruder)) if of_intruders.random() < _INTRUDED else None,
        )


def _operation(chance: Random) -> Operation:
    (make,) = chance.choices([make for make, _ in _WEIGHTS], [weight for _, weight in _WEIGHTS])
    return make(chance)


def _crash(chance: Random) -> Operation:
    return Crash(chance.choice(FIXED_NODES), restart=chance.random() < 0.8)


def _create(chance: Random) -> Operation:
    return Create(chance.choice(SNAPSHOTS), memory=chance.random() < 0.4)


def _revert(chance: Random) -> Operation:
    return Revert(chance.choice(SNAPSHOTS), restart=chance.random() < 0.8)


def _partition(chance: Random) -> Operation:
    one, other = chance.sample(FIXED_NODES, 2)
    return Partition(one, other)


def _impair(chance: Random) -> Operation:
    return Impair(chance.choice(FIXED_NODES), chance.choice(RATES_KBIT))


_WEIGHTS: list[tuple[Callable[[Random], Operation], float]] = [
    (lambda _: Start(), 4),
    (lambda _: Stop(), 2),
    (_crash, 3),
    (_create, 6),
    (_revert, 5),
    (lambda chance: Delete(chance.choice(SNAPSHOTS)), 3),
    (_partition, 3),
    (_impair, 3),
    (lambda chance: Heal(every=chance.random() < 0.5), 2),
    (lambda chance: Apply(chance.choice((2, 3)), MEMORIES_MIB[0]), 3),
    # A machine without an operating system does not shut down when it is asked: its power is cut when time is up.
    (lambda chance: Apply(2, chance.choice(MEMORIES_MIB)), 0.3),
]
