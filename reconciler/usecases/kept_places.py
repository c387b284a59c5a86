"""Where no copy from a node may be written: among the files that vmcluster keeps."""

from collections.abc import Iterable, Sequence

from reconciler.desired.kept_files import Kept, files_of_record, why_kept
from reconciler.errors import InvalidArgument, OperationFailed
from reconciler.files.configuration_files import configuration_paths
from reconciler.files.roots import PlaceToMake
from reconciler.model.file_use import FileUse
from reconciler.model.record import ClusterRecord
from reconciler.settings import Settings
from reconciler.usecases.host_paths import scratch_dir


def require_not_kept(
    place: PlaceToMake, settings: Settings, records: Sequence[ClusterRecord] = (), uses: Iterable[FileUse] = ()
) -> None:
    """Raise `InvalidArgument` for a place where vmcluster keeps files, which no copy may overwrite.

    Blocking. `uses` are the disks of all machines on the host; without them and records, the settings alone decide.
    """
    directories = [settings.state_dir, settings.overlay_dir, settings.artifact_store_dir, settings.topology_dir]
    directories += [record.spec.overlay_dir for record in records]
    files = [settings.artifact_registry, settings.fault_registry, settings.ssh_key_path, *configuration_paths()]
    files += [file for record in records for file in files_of_record(record)]
    try:
        owner = why_kept(place, Kept(directories, files, scratch_dir(settings), uses))
    except OSError as error:
        raise OperationFailed(f"cannot check {place.path}: {error.strerror}") from error
    if owner is not None:
        raise InvalidArgument(f"{place.path} is among {owner}", hint="use another path")
