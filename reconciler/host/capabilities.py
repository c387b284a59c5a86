"""What a host can do; a feature that works is tried only once per process."""

import asyncio

from reconciler.errors import HostCapabilityMissing
from reconciler.host.features import Feature, FeatureUntried, complaint_about, feature_remedy
from reconciler.process import RunCommand


class Capabilities:
    """Answers whether features work. A missing one is tried again when next needed, as it may have been fixed."""

    def __init__(self, run: RunCommand) -> None:
        self._run = run
        self._working: set[str] = set()
        self._trying = asyncio.Lock()

    async def complaint(self, feature: Feature) -> str | None:
        """Why a feature does not work; None if it does. Raises `HostCapabilityMissing` if it cannot be tried."""
        async with self._trying:
            if feature.name in self._working:
                return None
            try:
                complaint = await complaint_about(feature, self._run)
            except FeatureUntried as error:
                message = f"{feature.name} cannot be tried: {error}"
                raise HostCapabilityMissing(message, hint="run this as root") from error
            if complaint is None:
                self._working.add(feature.name)
            return complaint

    async def demand(self, feature: Feature, *, node: str | None = None) -> None:
        """Raise `HostCapabilityMissing`, with the module and how to get it, unless the feature works."""
        if complaint := await self.complaint(feature):
            raise missing(feature, complaint, node=node)


def missing(feature: Feature, complaint: str, *, node: str | None = None) -> HostCapabilityMissing:
    """The error for a feature that does not work, naming its module."""
    message = f"{feature.needed_for} need {feature.name} (kernel module {feature.module}): {complaint}"
    remedies = (f"{feature_remedy(feature)}; then the same call works", feature.otherwise)
    return HostCapabilityMissing(message, node=node, hint="; ".join(filter(None, remedies)))
