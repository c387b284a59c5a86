"""Which paths in a topology its caller may not reach: those are refused and never looked at."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from reconciler.desired.claims import Claims
from reconciler.files.roots import Reach, Roots, why_out_of_reach
from reconciler.settings import Settings
from reconciler.source.problems import Finding

Why = Callable[..., str | None]


def within_reach(claims: Claims, reach: Reach, settings: Settings) -> tuple[Claims, tuple[Finding, ...]]:
    """The claims without paths that are out of reach, and a finding for each of these. Blocking.

    What is only read may be below the file roots or the disk roots; the configured key and `overlay_dir` may be
    anywhere.
    """
    said = reach.of_topologies
    why: Why = cache(why_out_of_reach)  # a path may occur in every node
    findings = tuple(_refused(claims, reach, settings, why))
    if not findings:
        return claims, ()

    def readable(path: Path) -> bool:
        return why(path, said.read, said.disks) is None

    refused = {finding.location for finding in findings}
    kept = replace(
        claims,
        overlay_dir=settings.overlay_dir if ("overlay_dir",) in refused else claims.overlay_dir,
        images=tuple(claim for claim in claims.images if readable(claim.value)),
        uefi_images=tuple(claim for claim in claims.uefi_images if readable(claim.value)),
        boot_files=tuple(claim for claim in claims.boot_files if readable(claim.value)),
        root_disks=tuple(disk for disk in claims.root_disks if readable(disk.image)),
        disks=tuple(disk for disk in claims.disks if (*disk.location, "path") not in refused),
        key_path=None if claims.key_path and claims.key_path.location in refused else claims.key_path,
    )
    return kept, findings


def _refused(claims: Claims, reach: Reach, settings: Settings, why: Why) -> Iterator[Finding]:
    said = reach.of_topologies
    overlay_dir = claims.overlay_dir or settings.overlay_dir
    if overlay_dir != settings.overlay_dir and (trouble := why(overlay_dir, said.disks)):
        yield Finding(("overlay_dir",), trouble)
    for claim in (*claims.images, *claims.boot_files):
        if trouble := why(claim.value, said.read, said.disks):
            yield Finding(claim.location, trouble)
    for disk in claims.disks:
        disks = reach.disks if disk.existing else said.disks
        if disk.path is not None and (trouble := why(disk.path, disks)):
            yield Finding((*disk.location, "path"), trouble)
    key = claims.key_path
    if key is not None and key.value != settings.ssh_key_path and (trouble := why(key.value, said.read)):
        yield Finding(key.location, trouble)


def topologies_of(settings: Settings) -> Roots:
    """Where the topologies are that a name can stand for."""
    return Roots("topology_dir", (settings.topology_dir,))
