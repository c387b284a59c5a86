"""Requests to an etcd cluster, through whichever member answers.

The messages and stubs are aetcd's; channels are made here, as its client knows one member and no TLS (decision 0016).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # gRPC writes to stderr by itself, and reads this when it is imported

import grpc
import grpc.aio
from aetcd import rpc

from reconciler.errors import OperationFailed, StoreUnavailable, StoreUnreachable
from reconciler.files.plain import read_plain_file
from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials, EtcdMember
from reconciler.store.etcd.etcd_requests import get, one

ANSWER_S = 3.0
"""How long one member may take for an answer before the next is asked."""
PATIENCE_S = 8.0
"""How long all members together may take, as while they elect a leader."""
_PAUSE_S = 0.1
_OPTIONS = (
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 10_000),  # etcd allows one every 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
_ELSEWHERE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)
"""With these another member is asked: this one is away, has no leader, is shutting down, or was too slow.

gRPC says INTERNAL of a stream whose time was over before it was begun (cygrpc, `initiate_stream_stream`).
"""

_WITH_A_LEADER = ("hasleader", "true")
"""A member that was cut off from the others would go on to follow, and never hear of a change."""

_TOO_LARGE = ("request is too large", "larger than max")
_NO_SPACE_HINT = "free space in etcd: compact it, defragment it, then disarm its alarm (`etcdctl`)"
_REFUSED_HINT = "`store`, `store_password_file` and the TLS files say who vmcluster is to etcd"

Options = dict[str, Any]
Call = Callable[[grpc.aio.Channel, Options], Awaitable[Any]]


class EtcdClient:
    """A client of one etcd cluster, for one event loop; connected at the first request.

    Every request raises `StoreUnreachable` where no member answers in time, and `StoreUnavailable` where etcd refuses
    the client. A change may have been made all the same when its answer is lost: who needs to know looks for a token of
    its own.
    """

    def __init__(self, address: EtcdAddress, credentials: EtcdCredentials) -> None:
        self._address, self._credentials = address, credentials
        self._members = list(address.members)
        self._channels: dict[EtcdMember, grpc.aio.Channel] = {}
        self._token: str | None = None

    async def close(self) -> None:
        """Close the connections; requests under way fail."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def change(self, compare: Sequence[Any], operations: Sequence[Any], otherwise: Sequence[Any] = ()) -> Any:
        """Carry out the operations together if all comparisons hold, else the others: `TxnResponse`."""
        request = rpc.TxnRequest(compare=compare, success=operations, failure=otherwise)
        return await self._ask(lambda channel, options: rpc.KVStub(channel).Txn(request, **options))

    async def read(self, *ranges: Any) -> list[Any]:
        """The answers to several `RangeRequest`, all of one revision."""
        answer = await self.change((), [get(of) for of in ranges])
        return [response.response_range for response in answer.responses]

    async def revision(self) -> int:
        """The revision of the last change, of whatever key."""
        answer = await self.change((), [get(one(b"\0"))])
        return int(answer.header.revision)

    async def compact(self, revision: int) -> None:
        """Forget what was before a revision."""
        request = rpc.CompactionRequest(revision=revision)
        await self._ask(lambda channel, options: rpc.KVStub(channel).Compact(request, **options))

    async def grant(self, ttl_s: int) -> int:
        """A new lease, which ends `ttl_s` after it was last kept alive."""
        request = rpc.LeaseGrantRequest(TTL=ttl_s)
        answer = await self._ask(lambda channel, options: rpc.LeaseStub(channel).LeaseGrant(request, **options))
        return int(answer.ID)

    async def keep_alive(self, lease: int) -> bool:
        """Let a lease begin again with its whole time; False if it has ended."""

        async def once(channel: grpc.aio.Channel, options: Options) -> Any:
            stream = rpc.LeaseStub(channel).LeaseKeepAlive(**options)
            try:
                await stream.write(rpc.LeaseKeepAliveRequest(ID=lease))
                return await stream.read()
            finally:
                stream.cancel()

        return int((await self._ask(once)).TTL) > 0

    async def follow(
        self, ranges: Sequence[tuple[bytes, bytes]], revision: int
    ) -> AsyncIterator[tuple[int, Sequence[Any]]]:
        """The changes in ranges, from `revision` on: revision and events of each; ends when the member goes away.

        What was changed together in several ranges is told one after the other.

        The first is told as soon as the member follows. It ends as well where the member does not follow, as when what
        was changed before was compacted, or has lost the others: the caller looks for itself what the last change is.
        """
        begin = revision + 1
        requests = [
            rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=end, start_revision=begin))
            for key, end in ranges
        ]
        channel = await self._channel(self._members[0])
        stream = rpc.WatchStub(channel).Watch(metadata=(*await self._metadata(channel), _WITH_A_LEADER))
        try:
            for request in requests:
                await stream.write(request)
            async for response in stream:
                if response.canceled:
                    return
                yield (response.header.revision if response.events else revision), response.events
        except grpc.aio.AioRpcError as error:
            if error.code() not in _ELSEWHERE:
                self._refuse(error)
            self._ask_another()
        finally:
            stream.cancel()

    async def _ask(self, call: Call) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            member = self._members[0]
            try:
                return await self._ask_one(member, call)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAUTHENTICATED and self._token is not None:
                    self._token = None  # it is valid for minutes only; with a new one this is asked again
                elif error.code() not in _ELSEWHERE:
                    self._refuse(error)
                else:
                    self._ask_another()
                if time.monotonic() > deadline:
                    raise self._unreachable(error) from error
            await asyncio.sleep(_PAUSE_S)

    async def _ask_one(self, member: EtcdMember, call: Call) -> Any:
        channel = await self._channel(member)
        return await call(channel, {"metadata": await self._metadata(channel), "timeout": ANSWER_S})

    def _ask_another(self) -> None:
        self._members = self._members[1:] + self._members[:1]

    async def _channel(self, member: EtcdMember) -> grpc.aio.Channel:
        if member not in self._channels:
            tls = await asyncio.to_thread(_tls, self._credentials) if self._credentials.has_tls else None
            self._channels[member] = (
                grpc.aio.insecure_channel(str(member), _OPTIONS)
                if tls is None
                else grpc.aio.secure_channel(str(member), tls, _OPTIONS)
            )
        return self._channels[member]

    async def _metadata(self, channel: grpc.aio.Channel) -> tuple[tuple[str, str], ...]:
        if self._address.user is None or self._credentials.password_file is None:
            return ()
        if self._token is None:
            password = await asyncio.to_thread(_secret, self._credentials.password_file)
            request = rpc.AuthenticateRequest(name=self._address.user, password=password.decode().rstrip("\n"))
            self._token = (await rpc.AuthStub(channel).Authenticate(request, timeout=ANSWER_S)).token
        return (("token", self._token),)

    def _refuse(self, error: grpc.aio.AioRpcError) -> NoReturn:
        said = error.details() or error.code().name
        if any(words in said for words in _TOO_LARGE):
            raise OperationFailed(
                f"etcd does not take a value of this size: {said}",
                hint="a cluster of fewer nodes, or with less `user_data`, fits",
            ) from error
        hint = _NO_SPACE_HINT if "database space exceeded" in said else _REFUSED_HINT
        raise StoreUnavailable(f"{self._address} refuses: {said}", hint=hint) from error

    def _unreachable(self, error: grpc.aio.AioRpcError) -> StoreUnreachable:
        return StoreUnreachable(
            f"no member of {self._address} answers: {error.details() or error.code().name}",
            hint="machines keep running and faults end on time; start etcd, or correct `store`",
        )


def _tls(of: EtcdCredentials) -> grpc.ChannelCredentials:
    ca, key, cert = (path and _content(path) for path in (of.ca_file, of.key_file, of.cert_file))
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def _content(path: Path) -> bytes:
    try:
        return read_plain_file(path)
    except OSError as error:
        raise StoreUnavailable(f"cannot read {path}, which `store` needs: {error.strerror}") from error


def _secret(path: Path) -> bytes:
    content = _content(path)
    if path.stat().st_mode & 0o077:
        raise StoreUnavailable(f"others than its owner may read the password in {path}", hint=f"chmod 600 {path}")
    return content
