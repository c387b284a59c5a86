"""Two hosts that share an etcd hand each other an image, over real SSH on loopback."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest

from reconciler.controller import image_exchange
from reconciler.controller.conditions import obstacle_of, status_of_failed_round
from reconciler.controller.image_exchange import ImageExchange
from reconciler.error_codes import ErrorCode
from reconciler.errors import Conflict, ImageUnderWay
from reconciler.model import names
from reconciler.model.event import EventKind
from reconciler.model.host import HostImage, HostReport
from reconciler.model.record import ClusterRecord
from reconciler.observe.host_report import own_image_key
from reconciler.settings import Settings
from reconciler.store.etcd import key_names as keys
from reconciler.store.etcd.etcd_address import EtcdCredentials
from reconciler.store.etcd.etcd_client import EtcdClient
from reconciler.store.etcd.etcd_requests import delete_below
from reconciler.store.etcd.etcd_store import EtcdStore
from reconciler.store.host_identity import HostIdentity
from tests.etcd import RunningEtcd, free_ports, running_etcd
from tests.unit.store.samples import sample_record
from tests.waiting import eventually

pytestmark = pytest.mark.processes

CONTENT = Random(1).randbytes(2 * 1024 * 1024)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
NAME = "base.qcow2"


def write(path: Path, what: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(what)


def content(path: Path) -> bytes:
    return path.read_bytes()


@dataclass
class Host:
    """A host with its own directory for images."""

    name: str
    images: Path
    settings: Settings
    store: EtcdStore
    exchange: ImageExchange

    @classmethod
    def on(cls, etcd: RunningEtcd, directory: Path, name: str) -> "Host":
        images, state_dir = directory / name / "images", directory / name / "state"
        images.mkdir(parents=True)
        (port,) = free_ports(1)
        address = IPv4Address("127.0.0.1")
        settings = Settings(
            store=str(etcd.address),
            host_name=name,
            host_address=address,
            host_image_port=port,
            state_dir=state_dir,
            image_dir=images,
        )
        store = EtcdStore(etcd.address, EtcdCredentials(), host=HostIdentity(name, state_dir))
        return cls(name, images, settings, store, ImageExchange(store, settings))

    async def report(self, *, digest: str = DIGEST) -> None:
        """Say that this host is alive, and what it has."""
        await self.store.membership().enter()
        image = self.images / NAME
        has = [HostImage(path=image, digest=digest, size_bytes=len(CONTENT))] if image.exists() else []
        await self.store.put_host(
            HostReport(
                name=self.name,
                address=self.settings.host_address,
                version="test",
                vcpus=1,
                memory_mb=1,
                disk_bytes=1,
                disk_free_bytes=1,
                kvm_usable=False,
                images=tuple(has),
                image_port=self.exchange.port,
                image_key=own_image_key(self.settings),
            )
        )

    def part(self) -> ClusterRecord:
        """A cluster whose nodes are here, and need the image."""
        record = sample_record()
        overlay_dir = self.images.parent / "overlays"
        image = record.spec.nodes["alpha"].base_image.model_copy(update={"path": self.images / NAME, "digest": DIGEST})
        nodes = {name: of.model_copy(update={"base_image": image}) for name, of in record.spec.nodes.items()}
        return record.model_copy(
            update={"spec": record.spec.model_copy(update={"nodes": nodes, "overlay_dir": overlay_dir})}
        )

    def has(self) -> bool:
        place = self.images / NAME
        return place.exists() and place.read_bytes() == CONTENT


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as running:
        yield running


@pytest.fixture
async def hosts(etcd: RunningEtcd, tmp_path: Path) -> AsyncIterator[dict[str, Host]]:
    """Two hosts that have the image and give it, and one that lacks it."""
    client = EtcdClient(etcd.address, EtcdCredentials())
    await client.change((), [delete_below(keys.ROOT)])
    await client.close()
    made = {name: Host.on(etcd, tmp_path, name) for name in ("giver", "other", "lacking")}
    async with AsyncExitStack() as stack:
        for host in made.values():
            if host.name != "lacking":
                (host.images / NAME).write_bytes(CONTENT)
                await stack.enter_async_context(host.exchange.giving())
            await host.report()
            stack.push_async_callback(host.store.close)
            stack.push_async_callback(host.exchange.close)
        yield made


async def fetched(host: Host) -> bool:
    """Whether a host's round may go on now."""
    try:
        await host.exchange.require(host.part())
    except ImageUnderWay:
        return False
    return True


async def test_a_host_that_lacks_an_image_has_it_before_its_round_goes_on(hosts: dict[str, Host]) -> None:
    lacking = hosts["lacking"]
    await eventually(lambda: fetched(lacking))
    assert lacking.has()
    done = [of for of in await lacking.store.events("lab") if of.kind is EventKind.ACTION_DONE]
    assert (done[-1].subject, done[-1].host) == (f"FetchImage {NAME}", "lacking")


async def test_rounds_of_several_clusters_wait_for_the_same_fetch(hosts: dict[str, Host]) -> None:
    lacking = hosts["lacking"]

    async def all_have_it() -> bool:
        return all(await asyncio.gather(*(fetched(lacking) for _ in range(3))))

    await eventually(all_have_it)
    assert lacking.has()
    done = [of for of in await lacking.store.events("lab") if of.kind is EventKind.ACTION_DONE]
    assert len(done) == 1


async def test_until_it_is_there_the_condition_says_how_far_it_is(
    hosts: dict[str, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_exchange, "_SHORT_S", 0.0)
    with pytest.raises(ImageUnderWay, match=rf"Fetching image \S+{NAME} from .*… \d+ %") as under_way:
        await hosts["lacking"].exchange.require(hosts["lacking"].part())
    status = status_of_failed_round(sample_record(), obstacle_of(under_way.value), None, datetime.now(UTC))
    assert {of.reason for of in status.conditions} == {"FetchingImage"}
    assert not status.obstacles[0].terminal
    await eventually(lambda: fetched(hosts["lacking"]))


async def test_a_host_that_no_longer_has_what_it_told_is_passed_over_for_another(hosts: dict[str, Host]) -> None:
    (hosts["giver"].images / NAME).write_bytes(b"something else")
    await eventually(lambda: fetched(hosts["lacking"]))
    assert hosts["lacking"].has()


async def test_without_a_host_that_has_it_the_round_says_itself_what_is_missing(hosts: dict[str, Host]) -> None:
    for name in ("giver", "other"):
        await hosts[name].report(digest="sha256:another")
    assert await fetched(hosts["lacking"]), "nothing is fetched, and the round looks for the image as on one host"
    assert not hosts["lacking"].has()


async def test_what_is_in_the_place_of_an_image_is_refused_and_left(hosts: dict[str, Host]) -> None:
    lacking = hosts["lacking"]
    write(lacking.images / NAME, b"mine")
    with pytest.raises(Conflict, match=f"{NAME} on host lacking has different content: sha256:") as refused:
        await lacking.exchange.require(lacking.part())
    assert refused.value.terminal
    assert content(lacking.images / NAME) == b"mine"


async def test_nodes_that_have_their_disks_need_no_image(hosts: dict[str, Host]) -> None:
    lacking = hosts["lacking"]
    part = lacking.part()
    for node, intent in part.nodes.items():
        write(names.layer_path(part.spec.overlay_dir, part.cluster_name, node, "vda", intent.disk_revision, 3), b"")
    assert await fetched(lacking)
    assert not lacking.has()


async def test_a_host_whose_port_is_taken_gives_no_images_and_does_the_rest(hosts: dict[str, Host]) -> None:
    giver = hosts["giver"]
    second = ImageExchange(giver.store, giver.settings)
    async with second.giving():
        assert (second.port, giver.exchange.port) == (0, giver.settings.host_image_port)


def test_an_image_under_way_is_waited_for_and_worth_another_call() -> None:
    assert ImageUnderWay("x").code is ErrorCode.IMAGE_UNDER_WAY
    assert (ImageUnderWay("x").terminal, ImageUnderWay("x").recoverable) == (False, True)
