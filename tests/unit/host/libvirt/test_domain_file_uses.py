"""The files of anybody's machines, from their definitions."""

from pathlib import Path

from reconciler.host.libvirt.domain_file_uses import parse_uses
from reconciler.model.file_use import FileUse

XML = """<domain type='kvm'><name>golden</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/top.qcow2'/>
 <backingStore type='file'><format type='raw'/><source file='/i/base.raw'/><backingStore/></backingStore>
 <target dev='vda' bus='virtio'/></disk>
<disk type='block' device='disk'><driver type='raw'/><source dev='/dev/sdb'/><target dev='vdb' bus='virtio'/>
 <shareable/></disk>
<disk type='file' device='cdrom'><source file='/i/x.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
</devices></domain>"""


def test_every_file_of_a_definition_is_told_with_what_is_done_to_it() -> None:
    assert list(parse_uses(XML, name="golden", is_up=True)) == [
        use("/i/top.qcow2", "vda", "qcow2", written=True),
        use("/i/base.raw", "vda", "raw"),
        use("/dev/sdb", "vdb", "raw", written=True, shared=True),
        use("/i/x.iso", "sda", ""),
    ]
    assert not any(found.is_up for found in parse_uses(XML, name="golden", is_up=False))


def use(path: str, target: str, kind: str, *, written: bool = False, shared: bool = False) -> FileUse:
    return FileUse(Path(path), "the domain golden", None, target, written, kind, is_up=True, shared=shared)
