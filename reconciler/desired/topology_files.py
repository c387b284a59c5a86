"""Finds the file that a topology's name or path stands for."""

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from reconciler.errors import InvalidArgument, TopologyNotFound
from reconciler.files.exposure import require_unexposed
from reconciler.settings import Settings
from reconciler.source.problems import shown, suggestion

SENT = {"user.vmcluster.sent": b"yes"}
"""The extended attribute of a topology that a client has sent (xattr(7)), which is not its administrator's."""
SUFFIXES = (".yaml", ".yml")
_MEANT_SUFFIXES = (*SUFFIXES, ".json")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_NAMES = "use letters, digits, `.`, `_` and `-`, up to 200, beginning with a letter or a digit, and one `.yaml` at most"
_MAX_LISTED_NAMES = 20
_MAX_DIRECTORY_ENTRIES = 10_000


def find_topology(name_or_path: str | Path, settings: Settings) -> Path:
    """The topology file meant: a path if it contains a slash, else a name (with or without suffix) in `topology_dir`.

    A name ending in `.yaml` or `.yml` is looked for in the current directory first. Raises `TopologyNotFound`, which
    names what exists.
    """
    text = str(name_or_path)
    for candidate in _candidates(text, settings):
        try:
            if candidate.exists():
                if candidate.parent == settings.topology_dir:
                    require_unexposed(settings.topology_dir)
                return candidate
        except (OSError, ValueError):
            continue  # a name that no file system accepts, or a directory that we may not read: as good as missing
    raise _not_found(text, settings)


def find_named(name: str, settings: Settings) -> Path:
    """The file of a topology in `topology_dir`, by its name (with or without suffix); never any other file.

    Raises `TopologyNotFound`, which names what exists.
    """
    for candidate in _named(name, settings):
        if candidate.exists():
            require_unexposed(settings.topology_dir)
            return candidate
    raise _no_such_name(name, settings)


def was_sent(path: Path) -> bool:
    """Whether a topology in `topology_dir` was sent by a client. Raises `OSError`."""
    try:
        return not SENT.keys().isdisjoint(os.listxattr(path))
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # nothing that was sent can be written there
            raise
        return False


def new_named(name: str, settings: Settings) -> Path:
    """The file in `topology_dir` that a topology of this name is written to, existing or not.

    Raises `InvalidArgument` for a name that is a path or could not be found again.
    """
    if not _NAME.fullmatch(name) or (name.endswith(SUFFIXES) and Path(name).stem.endswith(SUFFIXES)):
        raise InvalidArgument(f"{shown(name)!r} is not a name of a topology", hint=_NAMES)
    possible = dict.fromkeys((*_named(name, settings), *_named(topology_name_of(name), settings)))
    return next((path for path in possible if path.exists()), settings.topology_dir / f"{topology_name_of(name)}.yaml")


def topology_names(settings: Settings) -> list[str]:
    """The names that `find_topology` knows in `topology_dir`, sorted; empty if it cannot be listed."""
    return sorted(
        {topology_name_of(name) for name in _files_in(settings.topology_dir) if _NAME.fullmatch(topology_name_of(name))}
    )


def topology_name_of(file: str) -> str:
    """The name of a topology in a file of that name."""
    return file.removesuffix(SUFFIXES[0]).removesuffix(SUFFIXES[1])


def _candidates(text: str, settings: Settings) -> Iterable[Path]:
    if "/" in text:
        yield _without_home(text)
        return
    if text.endswith(SUFFIXES):
        yield Path(text)
    yield from _named(text, settings)


def _named(name: str, settings: Settings) -> Iterable[Path]:
    if _NAME.fullmatch(name):
        endings = ("",) if name.endswith(SUFFIXES) else SUFFIXES
        yield from (settings.topology_dir / f"{name}{ending}" for ending in endings)


def _without_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _not_found(text: str, settings: Settings) -> TopologyNotFound:
    if "/" in text:
        path = _without_home(text)
        close = _close_to(path.name, path.parent)
        meant = f"did you mean {path.parent / close}?" if close else "correct the path"
        return TopologyNotFound(f"there is no topology file {shown(text)}", hint=meant)
    message = f"there is no topology {shown(text)!r} in {settings.topology_dir}"
    if text.endswith(SUFFIXES):
        message = f"there is no file {shown(text)} here, and no topology of that name in {settings.topology_dir}"
    if _is_a_file(text):
        return TopologyNotFound(message, hint=f"the file {shown(text)} here is meant by ./{shown(text)}")
    here = _close_to(text, Path())
    if here:
        return TopologyNotFound(message, hint=f"did you mean {here}, a file here?")
    return TopologyNotFound(
        message, hint=_held(text, settings, "; put a file NAME.yaml there, or give the path of a file")
    )


def _is_a_file(name: str) -> bool:
    try:
        return Path(name).exists() and not Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _no_such_name(name: str, settings: Settings) -> TopologyNotFound:
    path = "; give a name, not a path" if "/" in name else ""
    message = f"there is no topology {shown(name)!r} in {settings.topology_dir}{path}"
    return TopologyNotFound(message, hint=_held(name.rpartition("/")[2], settings))


def _held(name: str, settings: Settings, if_none: str = "") -> str:
    """What `topology_dir` contains instead, and which of it may have been meant."""
    names = topology_names(settings)
    close = suggestion(_typed_stem(name), names)
    meant = f"did you mean {close}? " if close else ""
    return meant + (f"it contains: {_listed(names)}" if names else f"it contains none{if_none}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MAX_LISTED_NAMES]) + (", ..." if len(names) > _MAX_LISTED_NAMES else "")


def _close_to(name: str, directory: Path) -> str | None:
    """The topology file in a directory that was most likely meant: another suffix, or a similar name."""
    by_stem = {topology_name_of(file): file for file in reversed(_files_in(directory))}
    typed = _typed_stem(name)
    stem = typed if typed in by_stem else suggestion(typed, by_stem)
    return by_stem[stem] if stem else None


def _typed_stem(name: str) -> str:
    """The name as it may have been meant: YAML holds JSON, and file names of other systems end in capitals."""
    name = name.strip()
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending.lower()}" in _MEANT_SUFFIXES else name


def _files_in(directory: Path) -> list[str]:
    """The names of topology files in a directory, sorted; empty if it cannot be listed."""
    try:
        entries = [path.name for path, _ in zip(directory.iterdir(), range(_MAX_DIRECTORY_ENTRIES), strict=False)]
    except (OSError, ValueError):
        return []
    return sorted(name for name in entries if name.endswith(SUFFIXES))
