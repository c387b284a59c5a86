"""Forgets old versions of keys: etcd keeps every version of every key until a client compacts them.

As the API server of Kubernetes does it: the revision of now is noted, and forgotten up to at the next turn. So one of
all hosts does it in each period, and a watch has a whole period to catch up.
"""

import structlog

from reconciler.errors import StoreUnavailable, StoreUnreachable
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import one, put, unchanged
from reconciler.store.etcd.small_values import number_or_zero

log = structlog.get_logger(__name__)


class EtcdTidying:
    """The turns of one client."""

    def __init__(self, etcd: EtcdClient) -> None:
        self._etcd = etcd
        self._seen: int | None = None

    async def turn(self) -> None:
        """Forget what was old at the last turn, if no other host has had one since this one looked last."""
        (noted,) = await self._etcd.read(one(keys.TIDIED))
        changed_at, old = (noted.kvs[0].mod_revision, number_or_zero(noted.kvs[0].value)) if noted.kvs else (0, 0)
        if changed_at != self._seen:
            self._seen = changed_at
            return
        note = put(keys.TIDIED, b"%d" % await self._etcd.revision())
        answer = await self._etcd.change([unchanged(keys.TIDIED, changed_at)], [note])
        if not answer.succeeded:
            return
        self._seen = answer.header.revision
        if old:
            await self._forget(old)

    async def _forget(self, revision: int) -> None:
        try:
            await self._etcd.compact(revision)
        except StoreUnreachable:
            raise
        except StoreUnavailable as error:  # somebody else, such as etcd itself, has forgotten more
            log.info("store_not_compacted", revision=revision, cause=error.message)
