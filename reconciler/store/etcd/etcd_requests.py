"""Short forms of etcd's requests and comparisons. Pure."""

from typing import Any

from aetcd import rpc

from reconciler.store.etcd.key_names import end_of

OPERATIONS_LIMIT = 100
"""Of one request: etcd takes 128."""


def one(key: bytes, *, keys_only: bool = False, **more: int) -> Any:
    """The range of a single key."""
    return rpc.RangeRequest(key=key, keys_only=keys_only, **more)


def below(prefix: bytes, *, keys_only: bool = False, **more: int) -> Any:
    """The range of all keys with a prefix, in their order."""
    return rpc.RangeRequest(key=prefix, range_end=end_of(prefix), keys_only=keys_only, **more)


def count_below(prefix: bytes) -> Any:
    """How many keys have a prefix."""
    return rpc.RangeRequest(key=prefix, range_end=end_of(prefix), count_only=True)


def oldest_below(prefix: bytes, count: int) -> Any:
    """The keys with a prefix that were made first, without their values."""
    return below(
        prefix,
        keys_only=True,
        limit=count,
        sort_order=rpc.RangeRequest.SortOrder.ASCEND,
        sort_target=rpc.RangeRequest.SortTarget.CREATE,
    )


def last_below(prefix: bytes) -> Any:
    """The last of the keys with a prefix, without its value."""
    return below(prefix, keys_only=True, limit=1, sort_order=rpc.RangeRequest.SortOrder.DESCEND)


def get(of: Any) -> Any:
    """A range as a part of a change: it sees what came before it there."""
    return rpc.RequestOp(request_range=of)


def put(key: bytes, value: bytes, *, lease: int = 0) -> Any:
    """Write a key; with a `lease`, it is deleted when that ends."""
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, lease=lease))


def touch(key: bytes) -> Any:
    """Write a key with the value that it has: its version grows. Fails where there is none."""
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, ignore_value=True))


def delete(key: bytes) -> Any:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def delete_below(prefix: bytes) -> Any:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=prefix, range_end=end_of(prefix)))


def unchanged(key: bytes, revision: int) -> Any:
    """That the last change of a key was at that revision; 0: that there is no such key."""
    return rpc.Compare(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)


def exists(key: bytes) -> Any:
    return rpc.Compare(key=key, target=rpc.Compare.CREATE, result=rpc.Compare.GREATER, create_revision=0)
