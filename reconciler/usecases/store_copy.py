"""Copying all records from one store into another, to move from one host to several and back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field

from reconciler.errors import Conflict, InvalidArgument
from reconciler.model.base import Frozen
from reconciler.progress import Report
from reconciler.records.stored_records import readable_records
from reconciler.runtime import open_store
from reconciler.settings import Settings
from reconciler.store.etcd.etcd_address import SCHEME, EtcdAddress
from reconciler.store.lease import FILE_NAME, Lease
from reconciler.store.merged_status import nodes_by_host
from reconciler.store.protocol import Store
from reconciler.store.sqlite import FILE_NAME as RECORDS

_LEASE_S = 10.0
_TOLD = 5


class StoreCopy(Frozen):
    """What was copied."""

    source: str = Field(description="The store that was read; it is unchanged.")
    target: str = Field(description="The store that holds the same now.")
    identity: str = Field(description="What both are known by on their hosts.")
    clusters: list[str] = Field(description="The clusters that have a record, sorted.")
    removed_clusters: list[str] = Field(description="Clusters without a record of which the history was copied.")


async def copy_store(settings: Settings, source: str, target: str, report: Report) -> StoreCopy:
    """Copy records, statuses, histories and events, and compare the copy with what it was made from.

    Each store is a directory or the address of an etcd, which is spoken to as the settings say. Raises `Conflict`
    where the target has clusters of another store, the source changes meanwhile, or nodes on other hosts would go into
    a directory, and `InvalidArgument` for a source that does not exist. A copy that was interrupted is made again from
    the start.
    """
    places = _place(source), _place(target)
    if places[0] == places[1]:
        raise InvalidArgument("source and target are the same store", hint="name two stores")
    if not source.startswith(SCHEME) and not (Path(source) / RECORDS).is_file():
        raise InvalidArgument(f"there are no records in {source}", hint="name a `state_dir`, or an etcd")
    async with (
        _without_controller(source),
        _without_controller(target),
        _opened(settings, source) as before,
        _opened(settings, target) as after,
    ):
        if not target.startswith(SCHEME):
            await _require_one_host(before, settings.with_store(source).own_host)
        await after.take_identity(await before.identity())
        known = await before.known()
        for number, name in enumerate(known, 1):
            report(f"copying cluster {name} ({number} of {len(known)})")
            await _copy(before, after, name)
        names = await after.names()
        await after.take_home(settings.with_store(target).own_host)  # the machines are here
        return StoreCopy(
            source=source,
            target=target,
            identity=await after.identity(),
            clusters=names,
            removed_clusters=[name for name in known if name not in names],
        )


async def _require_one_host(before: Store, own: str) -> None:
    """Raise `Conflict` if nodes are on other hosts: a store in a directory is of one, which would make them there."""
    if not own:
        return
    home = await before.home_host() or own
    away = [
        f"{record.cluster_name}/{node} on {host}"
        for record in await readable_records(before)
        for host, nodes in nodes_by_host(record, home).items()
        for node in nodes
        if host != own
    ]
    if away:
        more = f" and {len(away) - _TOLD} more" if len(away) > _TOLD else ""
        raise Conflict(
            f"the store in a directory is of this host, {own}, alone, and nodes are on others: "
            f"{', '.join(away[:_TOLD])}{more}",
            hint=f"move them here (`host: {own}` in their topologies), or destroy their clusters, then copy again",
        )


async def _copy(before: Store, after: Store, name: str) -> None:
    exported = await before.exported(name)
    await after.load(exported)
    if await after.exported(name) != exported:
        raise Conflict(f"another process is changing the copy of cluster {name}", hint="copy again")
    if await before.exported(name) != exported:
        raise Conflict(f"cluster {name} was changed while it was copied", hint="stop all controllers, then copy again")


@asynccontextmanager
async def _opened(settings: Settings, place: str) -> AsyncIterator[Store]:
    store = open_store(settings.with_store(place))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _without_controller(place: str) -> AsyncIterator[None]:
    """No controller works on a store in a directory meanwhile; that nobody changes an etcd shows afterwards."""
    if place.startswith(SCHEME):
        yield
        return
    async with Lease(Path(place) / FILE_NAME, purpose="store copy", timeout_s=_LEASE_S):
        yield


def _place(place: str) -> str:
    """The same text for the same store. Raises `InvalidArgument`."""
    if not place.startswith(SCHEME):
        return str(Path(place).resolve())
    try:
        return str(EtcdAddress.parse(place))
    except ValueError as error:
        raise InvalidArgument(str(error)) from error
