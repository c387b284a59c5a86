"""The seeds on disk with the host keys beside them: observed, written and deleted.

Everything here blocks and belongs in a thread. A seed contains the node's private host key, so it is 0600 like
the key itself: libvirt gives it to QEMU's user while a domain runs.
"""

from pathlib import Path

from reconciler.errors import Conflict, OperationFailed
from reconciler.files.cluster_directories import ensure_our_directory
from reconciler.files.marked_files import delete_file, directory_names, replace_file
from reconciler.files.ownership import OwnedKind, OwnerMark, is_owned, not_ours, read_mark, require_owned
from reconciler.host.cloud_init.iso import parse_iso, render_iso
from reconciler.host.cloud_init.seed_codec import SeedInputs, parse_host_key, render_seed
from reconciler.model.document import Seed, Unknown
from reconciler.model.names import cluster_dir, host_key_path, seed_path
from reconciler.model.origin import Origin

_SEED_SUFFIX = ".seed.iso"
_PRIVATE_MODE = 0o600
_PUBLIC_MODE = 0o644
_KEY_ALGORITHM = "ssh-ed25519"
_DIGEST_FACT = "digest"


def observe_seeds(overlay_dir: Path, cluster: str) -> dict[str, Seed | Unknown]:
    """The seeds of a cluster by node, from their marks alone.

    A seed without its host key files has an empty digest, which no desired seed has: it is written again, with the key
    that it contains. Raises `OperationFailed` if the directory cannot be read.
    """
    names = frozenset(directory_names(cluster_dir(overlay_dir, cluster)))
    nodes = [name.removesuffix(_SEED_SUFFIX) for name in names if _is_seed_name(name)]
    observed = ((node, _observe_seed(overlay_dir, cluster, node, names)) for node in nodes)
    return {node: seed for node, seed in observed if seed is not None}


def write_seed(
    overlay_dir: Path, inputs: SeedInputs, digest: str, origin: Origin | None = None, *, lender: str | None = None
) -> None:
    """Write a node's seed, replacing an older one; its host key is generated once and kept.

    The node of a fork has the key of the same node of the cluster `lender`.

    Raises `Conflict` if a file that is not ours has one of the names.
    """
    cluster, node = inputs.cluster_name, inputs.node
    ensure_our_directory(cluster_dir(overlay_dir, cluster), cluster, origin)
    private, public = _ensure_host_key(overlay_dir, cluster, node, origin, lender)
    facts = {_DIGEST_FACT: digest}
    mark = OwnerMark(cluster=cluster, node=node, kind=OwnedKind.SEED, facts=facts, origin=origin)
    image = render_iso(render_seed(inputs, private, public).by_name())
    replace_file(seed_path(overlay_dir, cluster, node), image, mark, mode=_PRIVATE_MODE)


def delete_seed(overlay_dir: Path, cluster: str, node: str) -> None:
    """Delete a node's host key and then its seed; missing files are fine. Raises `Conflict` if one is not ours.

    The seed is what is observed: as long as it exists, a later round finishes an interrupted deletion.
    """
    for path in files_of_seed(overlay_dir, cluster, node):
        delete_file(path, cluster)


def files_of_seed(overlay_dir: Path, cluster: str, node: str) -> list[Path]:
    """A node's host key files and its seed; the seed, which is what is observed, comes last."""
    private = host_key_path(overlay_dir, cluster, node)
    return [public_key_path(private), private, seed_path(overlay_dir, cluster, node)]


def read_host_key(overlay_dir: Path, cluster: str, node: str) -> str | None:
    """The node's public host key as a line without its newline; None if we have not generated one."""
    path = public_key_path(host_key_path(overlay_dir, cluster, node))
    try:
        return path.read_text().strip() if is_owned(path, cluster) else None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperationFailed(f"cannot read the host key {path}: {error}", node=node) from error


def public_key_path(private: Path) -> Path:
    """The path of the public half of a key."""
    return private.with_name(f"{private.name}.pub")


def _is_seed_name(name: str) -> bool:
    return name.endswith(_SEED_SUFFIX) and not name.startswith(".")


def _observe_seed(overlay_dir: Path, cluster: str, node: str, names: frozenset[str]) -> Seed | Unknown | None:
    path = seed_path(overlay_dir, cluster, node)
    try:
        mark = read_mark(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unknown(OperationFailed(f"cannot read {path}: {error.strerror}", hint="let this user read it"))
    if mark is None or (mark.cluster, mark.node, mark.kind) != (cluster, node, OwnedKind.SEED):
        return _unknown(not_ours(path, cluster))
    private = host_key_path(overlay_dir, cluster, node)
    complete = names.issuperset({private.name, public_key_path(private).name})
    return Seed(digest=mark.facts.get(_DIGEST_FACT, "") if complete else "")


def _unknown(error: Conflict | OperationFailed) -> Unknown:
    return Unknown(unknown=str(error), code=error.code, terminal=isinstance(error, Conflict))


def _ensure_host_key(
    overlay_dir: Path, cluster: str, node: str, origin: Origin | None, lender: str | None
) -> tuple[str, str]:
    """The node's key pair: as on disk, else as in its seed, else lent, else new. The private file is written first."""
    path = host_key_path(overlay_dir, cluster, node)
    kept = _read_private_key(path, cluster)
    private = kept or _key_in_seed(seed_path(overlay_dir, cluster, node), cluster)
    if private is None:
        private = new_host_key(cluster, node) if lender is None else _lent_key(overlay_dir, lender, node)
    public = public_line_of(private, path)
    mark = OwnerMark(cluster=cluster, node=node, kind=OwnedKind.HOST_KEY, origin=origin)
    if kept is None:
        replace_file(path, private.encode(), mark, mode=_PRIVATE_MODE)
    if read_host_key(overlay_dir, cluster, node) != public:
        replace_file(public_key_path(path), f"{public}\n".encode(), mark, mode=_PUBLIC_MODE)
    return private, public


def _read_private_key(path: Path, cluster: str) -> str | None:
    try:
        require_owned(path, cluster)
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperationFailed(f"cannot read the host key {path}: {error}") from error


def _key_in_seed(seed: Path, cluster: str) -> str | None:
    """The private key of a guest that booted from this seed; None if it is not our seed."""
    try:
        require_owned(seed, cluster)
        private, _ = parse_host_key(parse_iso(seed.read_bytes()).get("user-data", ""))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperationFailed(f"cannot read the seed {seed}: {error.strerror}") from error
    except ValueError as error:
        raise Conflict(
            f"the host key is gone and the seed {seed} is damaged: {error}",
            hint="restore the key, or delete the seed: a node that has booted then refuses our logins until recreated",
        ) from error
    return private


def _lent_key(overlay_dir: Path, lender: str, node: str) -> str:
    path = host_key_path(overlay_dir, lender, node)
    if (private := _read_private_key(path, lender)) is None:
        raise Conflict(f"{path} is gone, by which the fork's node is known", hint="restore it", node=node)
    return private


def new_host_key(cluster: str, node: str) -> str:
    """A new private key, as text."""
    import asyncssh  # noqa: PLC0415  (0.2 s, wanted by nobody who only observes)

    key = asyncssh.generate_private_key(_KEY_ALGORITHM, comment=f"{node}.{cluster}")
    return key.export_private_key().decode()


def public_line_of(private: str, path: Path) -> str:
    """The public half of the private key in the file at `path`, as a line without its newline."""
    import asyncssh  # noqa: PLC0415

    try:
        return asyncssh.import_private_key(private).export_public_key().decode().strip()
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Conflict(f"{path} is damaged: {error}", hint="restore it, or delete it and recreate the node") from error
