"""Documents of which the golden samples in `golden/` were made: what libvirt printed after it had been given them."""

from pathlib import Path

from reconciler.model.document import BackingFile, DirectBoot, Domain, DomainDisk, Network
from reconciler.model.plan import Epochs
from reconciler.model.topology import DiskBus, Firmware, Forward

SAMPLE_CLUSTER = "golden"

_SEED = DomainDisk(path=Path("/var/lib/vmcluster/overlays/golden/node.seed.iso"), format="raw", read_only=True)
_ROOT = DomainDisk(
    path=Path("/var/lib/vmcluster/overlays/golden/node.vda.r0.0.qcow2"),
    format="qcow2",
    backing=(BackingFile(path=Path("/var/lib/vmcluster/images/base.qcow2"), format="qcow2"),),
)

PLAIN = Domain(
    uuid="6f1a3a5e-5f0b-5c39-9d0e-6a2f6c6b7d11",
    role="worker",
    vcpus=1,
    memory_mb=512,
    virt_type="qemu",
    cpu="maximum",
    disks={"vda": _ROOT, "vdz": _SEED},
    network="clusternet-golden",
    mac="52:01:02:03:04:05",
    tap="vmc-0123456789a",
    console=Path("/var/lib/vmcluster/overlays/golden/node.console.log"),
    template=1,
)

FULL = PLAIN.model_copy(
    update={
        "uuid": "6f1a3a5e-5f0b-5c39-9d0e-6a2f6c6b7d12",
        "role": "free <text> & \"quotes\", 'more'; ünïcode",
        "vcpus": 3,
        "memory_mb": 1537,
        "cpu": "Nehalem",
        "disks": {
            "vda": _ROOT.model_copy(
                update={
                    "path": Path("/var/lib/vmcluster/overlays/golden/node.vda.r0.1.qcow2"),
                    "backing": (
                        BackingFile(
                            path=Path("/var/lib/vmcluster/overlays/golden/node.vda.r0.0.qcow2"), format="qcow2"
                        ),
                        BackingFile(path=Path("/var/lib/vmcluster/images/base & co.raw"), format="raw"),
                    ),
                }
            ),
            "vdb": DomainDisk(path=Path("/disks/data.qcow2"), format="qcow2"),
            "vdc": DomainDisk(path=Path("/disks/scsi.qcow2"), format="qcow2", bus=DiskBus.SCSI),
            "vdd": DomainDisk(path=Path("/disks/sata.raw"), format="raw", bus=DiskBus.SATA),
            "vdz": _SEED,
        },
        "boot": DirectBoot(
            kernel=Path("/images/vmlinuz"), initrd=Path("/images/initrd"), cmdline='root=/dev/vda a="<b>" console=ttyS0'
        ),
    }
)

UEFI = PLAIN.model_copy(
    update={
        "uuid": "6f1a3a5e-5f0b-5c39-9d0e-6a2f6c6b7d13",
        "firmware": Firmware.UEFI,
        "nvram": Path("/var/lib/vmcluster/overlays/golden/node.r0.nvram"),
    }
)

DOMAINS = {"plain": (PLAIN, Epochs()), "full": (FULL, Epochs(boot=12, resume=3)), "uefi": (UEFI, Epochs())}

NETWORKS = {
    "nat": Network(bridge="virbr-golden0", gateway="10.99.0.1", prefix_length=24, forward=Forward.NAT, active=True),
    "isolated": Network(
        bridge="virbr-golden1", gateway="10.98.0.1", prefix_length=30, forward=Forward.ISOLATED, active=True
    ),
}
