"""Who vmcluster is to etcd, and whom it believes."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import pytest
from aetcd import rpc

from reconciler.errors import StoreUnavailable, StoreUnreachable
from reconciler.store.etcd import etcd_client
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdAddress, EtcdCredentials
from reconciler.store.etcd.etcd_store import EtcdStore
from tests.authority import Authority
from tests.etcd import RunningEtcd, running_etcd
from tests.unit.store.test_store import put_new

pytestmark = pytest.mark.processes

PASSWORD = "pässword with spaces"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def tls_etcd(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    """An etcd that speaks TLS only, and only to clients with a certificate."""
    cert, key = authority.issue("server")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(*authority.issue("health"))
    files = ("--cert-file", str(cert), "--key-file", str(key), "--trusted-ca-file", str(authority.ca))
    directory = tmp_path_factory.mktemp("etcd-tls") / "data"
    with running_etcd(directory, (*files, "--client-cert-auth"), context) as running:
        yield running


async def test_a_client_and_a_server_with_certificates_know_each_other(
    tls_etcd: RunningEtcd, authority: Authority
) -> None:
    async with EtcdStore(tls_etcd.address, EtcdCredentials(authority.ca, *authority.issue("client"))) as store:
        record = await put_new(store)
        assert await store.get("lab") == record


async def test_who_shows_no_certificate_or_believes_another_authority_gets_nothing(
    tls_etcd: RunningEtcd, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_client, "PATIENCE_S", 0.5)
    stranger = Authority(tmp_path / "others")
    for credentials in (
        EtcdCredentials(authority.ca),
        EtcdCredentials(authority.ca, *stranger.issue("client")),
        EtcdCredentials(stranger.ca, *authority.issue("again")),
        EtcdCredentials(),
    ):
        async with EtcdStore(tls_etcd.address, credentials) as store:
            with pytest.raises(StoreUnreachable, match="no member of"):
                await store.names()


async def test_a_file_that_cannot_be_read_is_named(tls_etcd: RunningEtcd, authority: Authority, tmp_path: Path) -> None:
    async with EtcdStore(tls_etcd.address, EtcdCredentials(tmp_path / "absent")) as store:
        with pytest.raises(StoreUnavailable, match="absent, which `store` needs: No such file"):
            await store.names()


async def test_a_user_logs_in_with_the_password_in_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    with running_etcd(tmp_path / "data", ("--auth-token-ttl", "1")) as running:
        await enable_users(running)
        address = EtcdAddress.parse(f"etcd://root@127.0.0.1:{running.port}")
        async with EtcdStore(address, EtcdCredentials(password_file=password)) as store:
            password.chmod(0o640)
            with pytest.raises(StoreUnavailable, match="others than its owner may read the password"):
                await store.names()
            password.chmod(0o600)
            record = await put_new(store)
            store._etcd._token = "out of date"  # as an hour later, or after etcd was started again
            assert await store.get("lab") == record
            now = await store._etcd.revision()
            store._etcd._token = "out of date"
            seen = [of async for of, _ in store._etcd.follow([(keys.ROOT, keys.end_of(keys.ROOT))], now)]
            assert max(seen, default=now) == now, "a watch that is refused tells of no change"
        async with EtcdStore(running.address, EtcdCredentials()) as nobody:
            with pytest.raises(StoreUnavailable, match="user name is empty"):
                await nobody.names()
        password.write_text("wrong")
        async with EtcdStore(address, EtcdCredentials(password_file=password)) as store:
            with pytest.raises(StoreUnavailable, match="invalid user ID or password"):
                await store.names()


async def enable_users(etcd: RunningEtcd) -> None:
    """Make the user root, and let etcd serve users only."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
        stub = rpc.AuthStub(channel)
        await stub.UserAdd(rpc.AuthUserAddRequest(name="root", password=PASSWORD))
        await stub.RoleAdd(rpc.AuthRoleAddRequest(name="root"))
        await stub.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"))
        await stub.AuthEnable(rpc.AuthEnableRequest())
