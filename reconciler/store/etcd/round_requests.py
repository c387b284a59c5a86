"""Requests for a round, counted in the version of one key per cluster: asking for one reads nothing first."""

from typing import Any

from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_requests import put
from reconciler.store.etcd.small_values import number_or_zero


def request_of(cluster: str, number: int) -> Any:
    """The write that makes `number` the last request, where the key was deleted before: its version is 1 then."""
    return put(keys.request(cluster), b"%d" % (number - 1))


def number_of(found: Any) -> int:
    """The number of the last request, from the range of its key; 0 where there was none."""
    return sum(number_or_zero(kv.value) + int(kv.version) for kv in found.kvs)
