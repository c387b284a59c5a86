"""Brings a bare host to its first cluster: packages, directories, keys, configuration, an image and a topology.

What is to be done is planned first, as data, and shown; what is done to files is in a journal, and can be undone.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.client_setup.changed_files import ChangeJournal, FileChange
from reconciler.desired.base_images import is_missing, names_in
from reconciler.desired.starter_topology import StarterTopology
from reconciler.desired.topology_files import topology_names
from reconciler.errors import HostCapabilityMissing
from reconciler.files.configuration_files import DEFAULT_CONFIG_PATH, configuration_paths, user_path
from reconciler.image.catalogue import CATALOGUE
from reconciler.model.examination import CheckOutcome, CheckResult, MissingPackages
from reconciler.model.names import BASE_IMAGE, image_path
from reconciler.plan.document_queries import spelled_value
from reconciler.progress import Progress, Report
from reconciler.runtime import Runtime
from reconciler.settings import Settings
from reconciler.store.state_dir import ensure_state_dir
from reconciler.usecases.doctor import apply_fixes, find_missing_packages, install_packages, run_checks
from reconciler.usecases.image_pull import PullRequest, pull_image
from reconciler.usecases.images import build_guest_image
from reconciler.usecases.named_images import require_known
from reconciler.usecases.starter_topologies import starter_text

NO_IMAGE = "none"
_FIRST_CLUSTER = "lab"


@dataclass(frozen=True, slots=True)
class HostSetupPlan:
    """What is missing on a host, and what is to be done about it."""

    checks: tuple[CheckResult, ...]
    packages: MissingPackages
    repairs: tuple[CheckResult, ...] = ()
    image: str | None = None
    """The image to build or to pull; None if there is one, or none is requested."""

    files: tuple[FileChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.packages.commands or self.repairs or self.image or self.files)


async def plan_host_setup(runtime: Runtime, image: str) -> HostSetupPlan:
    """Look at the host, and plan for it; `image` is the one of the first cluster, or `none`. Changes nothing.

    Raises `ImageNotFound` for an image that is not here and can be neither built nor pulled by its name.
    """
    found = tuple(await run_checks(runtime.settings))
    disk = image_path(runtime.settings.image_dir, image)
    lacks_image = image != NO_IMAGE and await asyncio.to_thread(is_missing, disk)
    if lacks_image and image != BASE_IMAGE and image not in CATALOGUE:
        require_known(image, await asyncio.to_thread(names_in, runtime.settings.image_dir))
    return HostSetupPlan(
        checks=found,
        packages=await find_missing_packages(),
        repairs=tuple(of for of in found if of.fixable and of.verdict is not CheckOutcome.OK),
        image=image if lacks_image else None,
        files=(*_configuration(), *await _topology(runtime, image)),
    )


async def carry_out_host_setup(runtime: Runtime, plan: HostSetupPlan, progress: Progress) -> None:
    """Do what was planned, in the order in which one needs the other. Run again, it goes on where it stopped.

    Raises `HostCapabilityMissing` if packages are missing that the user has to install.
    """
    packages = plan.packages
    if packages.essential and not packages.runs_here:
        raise HostCapabilityMissing(
            "programs are missing that no cluster runs without, so nothing was done",
            hint="run this as root, then `vmcluster setup` again: " + "; ".join(packages.commands),
        )
    report = progress.report
    await install_packages(packages, report)
    for repair in await apply_fixes(runtime.settings):
        report(f"{repair.name}: {repair.message}")
    await asyncio.to_thread(_write_files, runtime.settings, plan, report)
    if plan.image == BASE_IMAGE:
        await build_guest_image(runtime, image_path(runtime.settings.image_dir, BASE_IMAGE), report=report)
    elif plan.image is not None:
        await pull_image(runtime, PullRequest(source=plan.image), progress)


def host_journal(settings: Settings) -> ChangeJournal:
    """The changes to files of this host, apart from those of clients."""
    return ChangeJournal(settings.state_dir / "setup")


def render_configuration() -> str:
    """A configuration in which every key is a comment, with its default."""
    lines = ["# Configuration of vmcluster. Remove the `#` before a key to set it.", ""]
    for key, field in Settings.model_fields.items():
        lines += [
            f"# {field.description}",
            f"#{key}: {'' if field.default is None else spelled_value(field.default)}".rstrip(),
            "",
        ]
    return "\n".join(lines)


def _configuration() -> Iterator[FileChange]:
    if not any(path.exists() for path in configuration_paths()):
        path = DEFAULT_CONFIG_PATH if os.geteuid() == 0 else user_path()
        yield FileChange(path, None, render_configuration().encode())


async def _topology(runtime: Runtime, image: str) -> list[FileChange]:
    """A first topology, if there is none yet."""
    directory = runtime.settings.topology_dir
    if image == NO_IMAGE or await asyncio.to_thread(_has_topologies, runtime.settings):
        return []
    text, _missing = await starter_text(runtime, StarterTopology(name=_FIRST_CLUSTER, image=image))
    return [FileChange(directory / f"{_FIRST_CLUSTER}.yaml", None, text.encode())]


def _has_topologies(settings: Settings) -> bool:
    return bool(topology_names(settings)) or Path(settings.topology_dir, f"{_FIRST_CLUSTER}.yaml").exists()


def _write_files(settings: Settings, plan: HostSetupPlan, report: Report) -> None:
    ensure_state_dir(settings.state_dir)
    for change in plan.files:
        host_journal(settings).apply(change)
        report(f"wrote {change.path}")
