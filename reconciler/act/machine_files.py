"""Checks the files of a machine once more right before QEMU opens them."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

from reconciler.act.context import ActContext
from reconciler.host.disks.before_use import MachineFiles, require_usable
from reconciler.model.document import Domain, DomainDisk
from reconciler.model.file_use import FileUse


async def require_defined_files(node: str, context: ActContext) -> None:
    """Raise `Conflict` if a node's machine would open other files than those its definition means."""
    await require_files_of(node, await context.libvirt.defined(context.cluster, node), context)


async def require_files_of(node: str, domain: Domain, context: ActContext) -> None:
    """The same check for a definition."""
    plain = [domain.console] if domain.nvram is None else [domain.console, domain.nvram]
    await require_disks(node, domain.disks, context, plain)


async def require_disks(
    node: str, disks: Mapping[str, DomainDisk], context: ActContext, plain: Collection[Path] = ()
) -> None:
    """The same check for single disks."""
    extra = context.record.spec.nodes[node].extra_disks.values() if node in context.record.spec.nodes else ()
    given = frozenset(disk.path for disk in extra if disk.existing)
    lenders = context.record.forked_from.lenders if context.record.forked_from else ()
    files = MachineFiles(context.cluster, node, disks, given, plain, lenders)
    uses = await _uses(context) if given & {disk.path for disk in disks.values()} else ()
    await asyncio.to_thread(require_usable, files, uses)


async def _uses(context: ActContext) -> tuple[FileUse, ...]:
    """Looked up only if a machine writes to a file that others can use too."""
    return (*await context.recorded_uses(), *await context.libvirt.file_uses())
