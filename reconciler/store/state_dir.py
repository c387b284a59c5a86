"""The directory of everything that must outlive a process."""

from pathlib import Path

from reconciler.errors import StoreUnavailable


def ensure_state_dir(directory: Path) -> None:
    """Make `directory` for its owner alone where it is missing; one that exists keeps its rights.

    Raises `StoreUnavailable` when it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise directory_unusable(directory, error) from error


def directory_unusable(directory: Path, error: OSError) -> StoreUnavailable:
    """The error for a state directory that this process may not use."""
    return StoreUnavailable(
        f"the state directory {directory} cannot be used: {error.strerror}",
        hint="run as a user who may write there, or set VMCLUSTER_STATE_DIR to another directory",
    )
