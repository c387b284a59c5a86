"""Which nodes start as clones, and of which template. Pure."""

from collections.abc import Iterator

import yaml

from reconciler.host.cloud_init.seed_codec import SeedInputs
from reconciler.model.document import Domain, SeedShape, TemplateSpec
from reconciler.model.record import NodeIntent, NodeSpec
from reconciler.model.topology import Firmware, StartMode


def why_booted(node: NodeSpec, intent: NodeIntent) -> str:
    """Why a node's first start is a boot, in words for a plan; empty if it can be a clone."""
    return next(_obstacles(node, intent), "")


def template_of(node: NodeSpec, domain: Domain, seed: SeedInputs) -> TemplateSpec:
    """The template that a node with this definition and this seed starts from."""
    return TemplateSpec(
        seed=_shape(seed) if _names_stay(node) else None,
        image=node.base_image.path,
        image_format=node.base_image.format,
        image_identity=node.base_image.identity,
        root_bytes=node.root_disk_bytes,
        vcpus=domain.vcpus,
        memory_mb=domain.memory_mb,
        virt_type=domain.virt_type,
        cpu=domain.cpu,
        boot=domain.boot,
        boot_files=domain.boot_files,
        rendering=domain.template,
    )


def may_be_cloned(mode: StartMode) -> bool:
    """Whether nodes start as clones where they can."""
    return mode is not StartMode.BOOT


def _shape(seed: SeedInputs) -> SeedShape | None:
    """The shape of a seed whose node can start from a complete boot.

    None if cloud-init has to run under the node's own name, as nobody knows what else it is asked to do, or if YAML
    puts the node's values in quotation marks, which others' do not have.
    """
    if seed.user_data or not all(yaml.safe_load(value) == value for value in (seed.node, seed.mac)):
        return None
    return SeedShape(
        ssh_user=seed.ssh_user,
        ssh_public_key=seed.ssh_public_key,
        prefix_length=seed.prefix_length,
        routed=seed.gateway is not None,
        grows=seed.grows,
        mtu=seed.mtu,
    )


def _names_stay(node: NodeSpec) -> bool:
    """Whether a card that is found again keeps the kernel's name for it: else only cloud-init names it as it should."""
    return node.boot is None or "net.ifnames=0" in node.boot.cmdline.split()


def _obstacles(node: NodeSpec, intent: NodeIntent) -> Iterator[str]:
    if not node.base_image.waits:
        yield f"{node.base_image.path} is not an image whose machines wait for an identity"
    if node.firmware is Firmware.UEFI:
        yield "its firmware keeps variables of its own"
    if node.boot is not None and not _speaks_on_serial_line(node.boot.cmdline):
        yield "its `cmdline` has no `console=ttyS0`, on which a machine says that it waits for an identity"
    if node.video:
        yield "it has a video card, and templates have none"
    if node.extra_disks:
        yield "it has extra disks"
    if intent.based_on is not None:
        yield f"its disk stands on snapshot {intent.based_on}"


def _speaks_on_serial_line(cmdline: str) -> bool:
    """Whether what is written to /dev/console is read there: the console that is named last."""
    consoles = [of for of in cmdline.split() if of.startswith("console=")]
    return bool(consoles) and consoles[-1].startswith("console=ttyS0")
