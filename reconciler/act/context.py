"""What an executor needs besides its action."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from reconciler.act.outcome import Checkpoint, Outcome
from reconciler.guest.address import GuestAddress
from reconciler.guest.pool import SshPool
from reconciler.host.cloud_init.seed_codec import SeedInputs
from reconciler.host.disks.layers import LayerDriver
from reconciler.host.libvirt.libvirt_driver import Libvirt
from reconciler.host.libvirt.libvirt_snapshots import LibvirtSnapshots
from reconciler.host.links.link_driver import LinkDriver
from reconciler.model.file_use import FileUse
from reconciler.model.origin import Origin
from reconciler.model.plan import Action
from reconciler.model.record import ClusterRecord
from reconciler.store.meeting import Meeting, SoleMeeting
from reconciler.templates.cloning import Templates


@dataclass(frozen=True, slots=True)
class ActContext:
    """One cluster, the drivers that change the host, and the inputs of seeds.

    Everything that is created carries `origin`, the origin of the record's generation.

    `meeting` is this host's place in what all hosts of the cluster do together, such as the `revert` that may be due.
    `require_term` raises `HostFenced` where this host may no longer act. Once `stopping` returns true, no further
    action starts. `on_advance` is called with the progress of long actions, from 0 to 1, about every tenth.
    """

    record: ClusterRecord
    origin: Origin | None
    libvirt: Libvirt
    layers: LayerDriver
    links: LinkDriver
    ssh: SshPool
    templates: Templates
    seeds: Mapping[str, SeedInputs]
    address_of: Callable[[str], GuestAddress]
    checkpoint: Checkpoint
    on_outcome: Callable[[Outcome], None]
    recorded_uses: Callable[[], Awaitable[tuple[FileUse, ...]]]
    require_term: Callable[[], None] = lambda: None
    revert: str | None = None
    meeting: Callable[[str], Meeting] = lambda _matter: SoleMeeting()
    stopping: Callable[[], bool] = lambda: False
    on_advance: Callable[[Action, float], None] = lambda _action, _share: None

    @property
    def snapshots(self) -> LibvirtSnapshots:
        return self.libvirt.snapshots

    @property
    def cluster(self) -> str:
        return self.record.cluster_name
