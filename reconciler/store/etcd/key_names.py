"""The names of keys in etcd, and how values are kept below them. Pure.

`identity`            the store's identity
`home`                the host that nodes without a host are on: the first that worked on these records
`claim/HOST`          which machine has that name, until the host is forgotten
`alive/HOST`          the same for as long as the host keeps its lease alive: the key is bound to it
`lost/HOST`           since when it does not, as others noticed
`host/HOST`           what the host says of itself
`cordon/HOST`         present while users keep new nodes off it
`tidied`              the revision at the last tidying: what is older is forgotten at the next
`network/CLUSTER`     the number of the cluster's network
`visitor/CLUSTER/ADDRESS` the host without nodes that is in the cluster's network by this address; bound to a lease
`networks`            written with every such number: its version is the last
`head/CLUSTER`        the generation of the record, as long as there is one
`record/CLUSTER`      the record without its generation
`newest/CLUSTER`      the last generation there ever was; every change of the record changes it
`history/CLUSTER/N`   what made generation N: actor, time, patch and token
`tokens/CLUSTER/N`    the tokens of generations up to N whose history was dropped
`part/CLUSTER`        the hosts that the record's nodes are placed on
`status/CLUSTER`      the last status, as a store of one host had it
`status/CLUSTER/HOST` what a host said of its part last; it may have something of the cluster as long as this is there
`meeting/CLUSTER/MATTER`      what was decided of an act of several hosts
`meeting/CLUSTER/MATTER/HOST` how far a host has come with it
`request/CLUSTER`     a number; with the key's version it counts the rounds that were asked for
`event/CLUSTER/...`   the last events
`event-mark`          written with every event: its revision is the newest event's
"""

import json
import zlib
from typing import Any

ROOT = b"/vmcluster/v1/"
IDENTITY = ROOT + b"identity"
HOME = ROOT + b"home"
CLAIMS = ROOT + b"claim/"
ALIVE = ROOT + b"alive/"
LOST = ROOT + b"lost/"
HOSTS = ROOT + b"host/"
CORDONS = ROOT + b"cordon/"
TIDIED = ROOT + b"tidied"
NETWORKS = ROOT + b"networks"
EVENT_MARK = ROOT + b"event-mark"
VISITORS = ROOT + b"visitor/"
PARTS = ROOT + b"part/"
STATUSES = ROOT + b"status/"
HEADS = ROOT + b"head/"
NEWEST = ROOT + b"newest/"
REQUESTS = ROOT + b"request/"
EVENTS = ROOT + b"event/"

_COMPRESSED = b"z"
_PLAIN_LIMIT_BYTES = 4096
_UNPACKED_LIMIT_BYTES = 64 * 1024 * 1024


def head(cluster: str) -> bytes:
    return HEADS + cluster.encode()


def record(cluster: str) -> bytes:
    return ROOT + b"record/" + cluster.encode()


def newest(cluster: str) -> bytes:
    return NEWEST + cluster.encode()


def status(cluster: str) -> bytes:
    return STATUSES + cluster.encode()


def statuses(cluster: str) -> bytes:
    return status(cluster) + b"/"


def part(cluster: str) -> bytes:
    return PARTS + cluster.encode()


def meetings(cluster: str) -> bytes:
    return ROOT + b"meeting/" + cluster.encode() + b"/"


def meeting(cluster: str, matter: str) -> bytes:
    return meetings(cluster) + matter.encode()


def request(cluster: str) -> bytes:
    return REQUESTS + cluster.encode()


def network(cluster: str) -> bytes:
    return ROOT + b"network/" + cluster.encode()


def visitors(cluster: str) -> bytes:
    return VISITORS + cluster.encode() + b"/"


def histories(cluster: str) -> bytes:
    return ROOT + b"history/" + cluster.encode() + b"/"


def history(cluster: str, generation: int) -> bytes:
    return histories(cluster) + b"%020d" % generation


def old_tokens(cluster: str) -> bytes:
    return ROOT + b"tokens/" + cluster.encode() + b"/"


def tokens_up_to(cluster: str, generation: int) -> bytes:
    return old_tokens(cluster) + b"%020d" % generation


def events(cluster: str) -> bytes:
    return EVENTS + cluster.encode() + b"/"


def name_in(key: bytes, below: bytes) -> str:
    """The cluster or host that a key below `below` is about."""
    return key.removeprefix(below).partition(b"/")[0].decode(errors="backslashreplace")


def end_of(prefix: bytes) -> bytes:
    """The first key that is not below a prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def packed(text: str) -> bytes:
    """A JSON text as it is stored: compressed where it is long."""
    plain = text.encode()
    return plain if len(plain) <= _PLAIN_LIMIT_BYTES else _COMPRESSED + zlib.compress(plain, 1)


def unpacked(value: bytes) -> str:
    """The JSON text. Raises `ValueError` for what we did not write, or would be larger than 64 MiB."""
    if not value.startswith(_COMPRESSED):
        return value.decode()
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(value[1:], _UNPACKED_LIMIT_BYTES)
    except zlib.error as error:
        raise ValueError(f"its compressed content is damaged: {error}") from error
    if opened.unconsumed_tail or not opened.eof:
        raise ValueError("it is truncated, or larger than any record")
    return plain.decode()


def packed_json(value: Any) -> bytes:
    """A value as packed JSON."""
    return packed(json.dumps(value))
