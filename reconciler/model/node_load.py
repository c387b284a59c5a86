"""What nodes use of their host: counters, and the rates between two looks at them."""

from dataclasses import dataclass

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.document import PowerState
from reconciler.model.results import DomainState


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounters:
    """What has been counted of a running machine since its start; None is what libvirt does not tell now."""

    power: PowerState
    vcpus: int | None
    cpu_time_s: float | None
    memory_bytes: int | None
    resident_bytes: int | None
    disk_read_bytes: int | None
    disk_written_bytes: int | None
    disk_reads: int | None
    disk_writes: int | None
    received_bytes: int | None
    sent_bytes: int | None


class NodeLoad(Frozen):
    """What one node uses, as rates over the time between two looks; null is not known, as of a node that is off."""

    cluster_name: str = Field(description="Name of the cluster.")
    node_name: str = Field(description="Name of the node.")
    domain_state: DomainState = Field(description="Of its machine on this host; `unknown` if it has none here.")
    interval_s: float | None = Field(default=None, description="Time between the two looks.")
    vcpus: int | None = Field(default=None, description="Number of virtual CPUs.")
    cpu_pct: float | None = Field(default=None, description="Processor time; 100 is one processor of the host.")
    memory_bytes: int | None = Field(default=None, description="Memory that the guest has.")
    resident_bytes: int | None = Field(default=None, description="Memory of the host that the machine occupies.")
    disk_read_bytes_per_s: float | None = Field(default=None, description="Read from all disks.")
    disk_written_bytes_per_s: float | None = Field(default=None, description="Written to all disks.")
    disk_reads_per_s: float | None = Field(default=None, description="Read requests to all disks.")
    disk_writes_per_s: float | None = Field(default=None, description="Write requests to all disks.")
    received_bytes_per_s: float | None = Field(default=None, description="Received by its network card.")
    sent_bytes_per_s: float | None = Field(default=None, description="Sent by its network card.")
