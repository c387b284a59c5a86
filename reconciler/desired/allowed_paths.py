"""Which paths in a topology its caller may not reach: those are refused and never looked at."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from reconciler.desired.topology_values import TopologyValues
from reconciler.files.roots import Reach, Roots, why_out_of_reach
from reconciler.settings import Settings
from reconciler.source.problems import Finding

Why = Callable[..., str | None]


def within_reach(
    values: TopologyValues, reach: Reach, settings: Settings
) -> tuple[TopologyValues, tuple[Finding, ...]]:
    """The values without paths that are out of reach, and a finding for each of these. Blocking.

    What is only read may be below the file roots or the disk roots; the configured key and `overlay_dir` may be
    anywhere.
    """
    said = reach.of_topologies
    why: Why = cache(why_out_of_reach)  # a path may occur in every node
    findings = tuple(_refused(values, reach, settings, why))
    if not findings:
        return values, ()

    def readable(path: Path) -> bool:
        return why(path, said.read, said.disks) is None

    refused = {finding.location for finding in findings}
    kept = replace(
        values,
        overlay_dir=settings.overlay_dir if ("overlay_dir",) in refused else values.overlay_dir,
        images=tuple(located for located in values.images if readable(located.value)),
        uefi_images=tuple(located for located in values.uefi_images if readable(located.value)),
        boot_files=tuple(located for located in values.boot_files if readable(located.value)),
        root_disks=tuple(disk for disk in values.root_disks if readable(disk.image)),
        disks=tuple(disk for disk in values.disks if (*disk.location, "path") not in refused),
        key_path=None if values.key_path and values.key_path.location in refused else values.key_path,
    )
    return kept, findings


def _refused(values: TopologyValues, reach: Reach, settings: Settings, why: Why) -> Iterator[Finding]:
    said = reach.of_topologies
    overlay_dir = values.overlay_dir or settings.overlay_dir
    if overlay_dir != settings.overlay_dir and (trouble := why(overlay_dir, said.disks)):
        yield Finding(("overlay_dir",), trouble)
    for located in (*values.images, *values.boot_files):
        if trouble := why(located.value, said.read, said.disks):
            yield Finding(located.location, trouble)
    for disk in values.disks:
        disks = reach.disks if disk.existing else said.disks
        if disk.path is not None and (trouble := why(disk.path, disks)):
            yield Finding((*disk.location, "path"), trouble)
    key = values.key_path
    if key is not None and key.value != settings.ssh_key_path and (trouble := why(key.value, said.read)):
        yield Finding(key.location, trouble)


def topologies_of(settings: Settings) -> Roots:
    """Where the topologies are that a name can stand for."""
    return Roots("topology_dir", (settings.topology_dir,))
