"""The whole error tree.

An error is raised where its cause is known and becomes an answer in exactly one place (`reconciler.usecases.envelope`).
Its message says what failed, on which node, and what to do about it. Its *code* is what a caller branches on. A
*terminal* error ends a wait at once, because the controller's next round cannot succeed either; any other is retried
with growing delay until the caller's time is up.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.error_codes import ErrorCode

_LONGEST_WORD = 100
_SIMILAR = 0.6


class ClusterError(Exception):
    """Base of every error that reaches a user; never raised itself.

    `recoverable` says whether trying again, or reverting, can help. `terminal` says whether the controller must stop
    trying by itself. `under_way` says that what is needed is being made, and that waiting is enough. `partial` is what
    is known despite the error, such as the status of a cluster when one node did not boot. A message or hint names
    what to call next as a tool with its arguments, such as `cluster_stop(mode="destroy")`, or an argument alone, such
    as `allow_restart`; the command line spells them as commands and options. A command that has no tool, such as
    `vmcluster snapshot gc`, is named as it is.
    """

    code: ErrorCode
    terminal: bool = True
    recoverable: bool = False
    under_way: bool = False

    def __init__(self, message: str, *, node: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.node = node
        self.hint = hint
        self.partial: Any = None

    def __str__(self) -> str:
        where = f"node {self.node}: " if self.node and self.node not in self.message else ""
        remedy = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{remedy}"


def hints_of(errors: Iterable[ClusterError]) -> str | None:
    """The hints of several errors, each one once."""
    return "; ".join(dict.fromkeys(error.hint for error in errors if error.hint)) or None


def closest_name(word: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, or None if none is similar."""
    from difflib import get_close_matches  # noqa: PLC0415  only where something went wrong

    by_lower = {name.lower(): name for name in sorted(known, reverse=True)}
    close = get_close_matches(word[:_LONGEST_WORD].lower(), by_lower, n=1, cutoff=_SIMILAR)
    return by_lower[close[0]] if close else None


def meant(word: str, known: Iterable[str], hint: str = "") -> str | None:
    """A hint that begins with the known name that was most likely meant, if one is similar."""
    close = closest_name(word, known)
    return (f"did you mean {close!r}? {hint}".rstrip() if close else hint) or None


# The request cannot be carried out. Nothing was touched.


class TopologyNotFound(ClusterError):
    """No topology file of that name or path."""

    code = ErrorCode.TOPOLOGY_NOT_FOUND


class TopologyInvalid(ClusterError):
    """The topology file has problems; the message lists every one with its YAML path and line."""

    code = ErrorCode.TOPOLOGY_INVALID


class ClusterNotFound(ClusterError):
    """No cluster of that name has been defined."""

    code = ErrorCode.CLUSTER_NOT_FOUND

    def __init__(self, message: str, *, hint: str | None = None, cluster_name: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.cluster_name = cluster_name


class ClusterNotRunning(ClusterError):
    """The cluster exists, but the operation needs its nodes to run."""

    code = ErrorCode.CLUSTER_NOT_RUNNING
    recoverable = True


class NodeNotFound(ClusterError):
    """The cluster has no node of that name."""

    code = ErrorCode.NODE_NOT_FOUND


class HostNotFound(ClusterError):
    """No host of that name shares the store."""

    code = ErrorCode.HOST_NOT_FOUND

    @classmethod
    def named(cls, name: str, known: Iterable[str]) -> "HostNotFound":
        """The error for a name, with those that there are."""
        names = sorted(known)
        hint = meant(name, names, "`host_list` shows them")
        return cls(f"no host {name!r} shares this store (there are: {', '.join(names) or 'none'})", hint=hint)


class PlacementRefused(ClusterError):
    """A node fits on none of the hosts; the message has the reason of each."""

    code = ErrorCode.PLACEMENT_REFUSED
    recoverable = True


class ImageNotFound(ClusterError):
    """A base image, kernel or initrd that a topology names is missing, unreadable or of the wrong format."""

    code = ErrorCode.IMAGE_NOT_FOUND


class ImageUnderWay(ClusterError):
    """A base image is being fetched from another host; a command that waits for the cluster waits for it."""

    code = ErrorCode.IMAGE_UNDER_WAY
    terminal = False
    recoverable = True


class SnapshotNotFound(ClusterError):
    """The cluster has no snapshot of that name."""

    code = ErrorCode.SNAPSHOT_NOT_FOUND


class SnapshotExists(ClusterError):
    """The cluster already has a snapshot of that name."""

    code = ErrorCode.SNAPSHOT_EXISTS


class SnapshotLost(ClusterError):
    """The snapshot was taken, but its files are gone."""

    code = ErrorCode.SNAPSHOT_LOST


class SnapshotFailed(ClusterError):
    """The snapshot was not taken; the cluster is as before."""

    code = ErrorCode.SNAPSHOT_FAILED
    recoverable = True


class RevertFailed(ClusterError):
    """The cluster cannot be reverted to the snapshot, and was not changed; another snapshot may work."""

    code = ErrorCode.REVERT_FAILED
    recoverable = True


class FaultNotFound(ClusterError):
    """The cluster has never had a network fault of that handle."""

    code = ErrorCode.FAULT_NOT_FOUND


class ArtifactNotFound(ClusterError):
    """No artifact with that ID is registered."""

    code = ErrorCode.ARTIFACT_NOT_FOUND


class ArtifactNotSynced(ClusterError):
    """The artifact is not complete on a node."""

    code = ErrorCode.ARTIFACT_NOT_SYNCED
    recoverable = True


class InvalidArgument(ClusterError):
    """An argument of a tool or command is out of its range."""

    code = ErrorCode.INVALID_ARGUMENT


class NoParameters(ClusterError):
    """The call would change nothing because none of its parameters is set."""

    code = ErrorCode.NO_PARAMETERS


class ApprovalRequired(ClusterError):
    """The change would restart nodes or lose data, or is one that the user has to confirm, and nobody approved it."""

    code = ErrorCode.APPROVAL_REQUIRED
    recoverable = True


class Conflict(ClusterError):
    """Something that vmcluster did not make is in the way, or another client changed the record first."""

    code = ErrorCode.CONFLICT
    recoverable = True


class ConfigurationInvalid(ClusterError):
    """The configuration file or an environment variable has a value that cannot be used."""

    code = ErrorCode.CONFIGURATION_INVALID


# The host lacks something. Nothing that was there is lost.


class HostCapabilityMissing(ClusterError):
    """The host's kernel, tools or file system cannot do what is asked until the remedy in the message is applied."""

    code = ErrorCode.HOST_CAPABILITY_MISSING
    recoverable = True


class LibvirtUnavailable(ClusterError):
    """The libvirt daemon does not answer."""

    code = ErrorCode.LIBVIRT_UNAVAILABLE
    terminal = False
    recoverable = True


class HostLost(ClusterError):
    """A host that nodes are placed on is not there: its nodes are unknown, and nothing is moved by itself."""

    code = ErrorCode.HOST_LOST
    terminal = False
    recoverable = True


class StoreUnavailable(ClusterError):
    """The desired-state store is locked, unreadable or damaged."""

    code = ErrorCode.STORE_UNAVAILABLE
    recoverable = True


class StoreUnreachable(StoreUnavailable):
    """No member of the etcd that keeps the records answers; it may come back."""

    terminal = False


class HostFenced(StoreUnavailable):
    """This host's lease may have run out, so it does not act before it has read everything again."""

    terminal = False


class StoreLocked(StoreUnavailable):
    """Another process holds the store's lock, and will release it."""

    terminal = False


class RecordUnreadable(StoreUnavailable):
    """The data of one cluster in the store cannot be read; the rest of the store can."""


class HostCommandFailed(ClusterError):
    """A host command failed; the message has a line that repeats it by hand."""

    code = ErrorCode.HOST_COMMAND_FAILED
    terminal = False
    recoverable = True


class OperationFailed(ClusterError):
    """Libvirt, QEMU, a guest or the file system refused one action (a full disk, for example); the cause may pass."""

    code = ErrorCode.OPERATION_FAILED
    terminal = False
    recoverable = True


class StillUnderWay(OperationFailed):
    """What an action needs is being made beside the rounds; a later round will find it."""

    under_way = True


class SshTimeout(ClusterError):
    """A node did not accept an SSH login in time."""

    code = ErrorCode.SSH_TIMEOUT
    terminal = False
    recoverable = True


class SshError(ClusterError):
    """An SSH connection failed for a reason that waiting does not fix (host key, credentials, protocol)."""

    code = ErrorCode.SSH_ERROR
    recoverable = True


class ProvisioningFailed(ClusterError):
    """The nodes run, but cloud-init has reported errors on some; the message names them. They are kept running."""

    code = ErrorCode.PROVISIONING_FAILED


class GuestCrashed(ClusterError):
    """A node has panicked, or QEMU has stopped it after an internal error; it is kept as it is until a request reboots
    it.
    """

    code = ErrorCode.GUEST_CRASHED
    recoverable = True


class GuestPaused(ClusterError):
    """A node is paused: by a user, an I/O error, its own suspend, …; the message says why. It stays paused."""

    code = ErrorCode.GUEST_PAUSED
    recoverable = True


class PartialFailure(ClusterError):
    """The operation succeeded on some nodes only; the message names the others with their causes."""

    code = ErrorCode.PARTIAL_FAILURE
    recoverable = True


class OperationTimeout(ClusterError):
    """The time limit passed before the condition held; the message has the last cause."""

    code = ErrorCode.TIMEOUT
    terminal = False
    recoverable = True


class HostOccupied(OperationTimeout):
    """Another store works on this host, and has not finished in time."""


class Obstructed(ClusterError):
    """What keeps a cluster from its desired state, as its controller reported it."""

    def __init__(self, code: ErrorCode, message: str, *, node: str | None, terminal: bool) -> None:
        super().__init__(message, node=node)
        self.code = code
        self.terminal = terminal
        self.recoverable = is_recoverable(code)


class InternalError(ClusterError):
    """A defect in this program."""

    code = ErrorCode.INTERNAL_ERROR


CLASSES: Mapping[ErrorCode, type[ClusterError]] = {
    each.code: each for each in ClusterError.__subclasses__() if "code" in vars(each)
}
"""The class that explains each code."""


def is_recoverable(code: ErrorCode) -> bool:
    """Whether trying again, or reverting, can help where this code is answered."""
    return CLASSES[code].recoverable


def error_to_answer(error: Exception) -> ClusterError:
    """The error that a caller gets for an exception. An unexpected error of the operating system is not a defect."""
    if isinstance(error, ClusterError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        message = f"operating system error: {where}{error.strerror or error}"
        return OperationFailed(message, hint="fix the cause, then try again")
    return InternalError(
        f"a defect in vmcluster: {type(error).__name__}: {error}", hint="please report it with the log on stderr"
    )
