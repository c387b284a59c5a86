"""Which file a topology's name or path means."""

import re
from collections.abc import Iterable
from pathlib import Path

from reconciler.errors import TopologyNotFound
from reconciler.settings import Settings
from reconciler.source.problems import shown, suggestion

SUFFIX = ".yaml"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_MAX_LISTED_NAMES = 20
_MAX_DIRECTORY_ENTRIES = 10_000


def find_topology(name_or_path: str | Path, settings: Settings) -> Path:
    """The topology file meant: a path where it has a slash, or a name (with or without `.yaml`) in `topology_dir`.

    What ends with `.yaml` and has no slash is looked for in the current directory first. Raises
    `TopologyNotFound`, naming what there is.
    """
    text = str(name_or_path)
    for candidate in _candidates(text, settings):
        try:
            if candidate.exists():
                return candidate
        except (OSError, ValueError):
            continue  # a name that no file system takes, or a directory that is closed to us: not there for us
    raise _not_found(text, settings)


def topology_names(settings: Settings) -> list[str]:
    """The names that `find_topology` knows in `topology_dir`, sorted; none where it cannot be listed."""
    try:
        files = [path for _, path in zip(range(_MAX_DIRECTORY_ENTRIES), settings.topology_dir.iterdir(), strict=False)]
    except OSError:
        return []
    return sorted(path.stem for path in files if path.suffix == SUFFIX and _NAME.fullmatch(path.stem))


def _candidates(text: str, settings: Settings) -> Iterable[Path]:
    if "/" in text:
        yield _without_home(text)
        return
    if text.endswith(SUFFIX):
        yield Path(text)
    if _NAME.fullmatch(text):
        yield settings.topology_dir / f"{text.removesuffix(SUFFIX)}{SUFFIX}"


def _without_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _not_found(text: str, settings: Settings) -> TopologyNotFound:
    if "/" in text:
        return TopologyNotFound(f"there is no topology file {shown(text)}", hint="correct the path")
    names = topology_names(settings)
    message = f"there is no topology {shown(text)!r} in {settings.topology_dir}"
    if not names:
        return TopologyNotFound(message, hint="it holds none; put a file NAME.yaml there, or give the path of a file")
    close = suggestion(text.removesuffix(SUFFIX), names)
    listed = ", ".join(names[:_MAX_LISTED_NAMES]) + (", ..." if len(names) > _MAX_LISTED_NAMES else "")
    meant = f"did you mean {close}? " if close else ""
    return TopologyNotFound(message, hint=f"{meant}it holds: {listed}")
