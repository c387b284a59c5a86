"""The directory of everything that must outlive a process."""

from pathlib import Path

from reconciler.errors import Conflict, StoreUnavailable
from reconciler.files.exposure import make_unexposed


def ensure_state_dir(directory: Path) -> None:
    """Create `directory` for its owner alone if it is missing; an existing one keeps its mode.

    Raises `StoreUnavailable` if it cannot be created, or others can change it or the way there.
    """
    try:
        make_unexposed(directory, mode=0o700)
    except OSError as error:
        raise directory_unusable(directory, error) from error
    except Conflict as error:
        raise StoreUnavailable(
            f"the state directory {directory} is not used: {error.message}", hint=error.hint
        ) from error


def directory_unusable(directory: Path, error: OSError) -> StoreUnavailable:
    """The error for a state directory that this process may not use."""
    return StoreUnavailable(
        f"the state directory {directory} cannot be used: {error.strerror}",
        hint="run as a user who may write there, or set VMCLUSTER_STATE_DIR to another directory",
    )
