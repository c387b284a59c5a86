"""Cloud-config as cloud-init reads it: what of a user's can stand beside ours, and how two become one. Pure.

Facts are from the source of cloud-init 22.4. Of two accounts of one name it keeps the values of the first, of
`users` as text it makes names, and of `ssh_authorized_keys` as text one key for each character.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Place = tuple[str | int, ...]
"""Where something stands in a cloud-config."""

DEFAULT_USER = "default"
"""What stands for the image's own user in `users`."""

_LEAVE_IT = "leave it out"
_REFUSED = {
    "network": f"the node's address is its `ip` ({_LEAVE_IT}, and describe the network in the topology)",
    "ssh_keys": f"host keys are made and verified by this program ({_LEAVE_IT})",
    "cloud_init_modules": "a list without the modules that set up SSH would lock this program out"
    f" ({_LEAVE_IT}; cloud_config_modules and cloud_final_modules may be set)",
}
_REASONS = {
    "hostname": "a node's name is its host name",
    "preserve_hostname": "a node's name is its host name",
    "manage_etc_hosts": "/etc/hosts lists the cluster's nodes; for lines of yours use write_files with `append: true`",
    "ssh_deletekeys": "host keys are made and verified by this program",
    "disable_root": "this program logs in as root, unless `ssh.user` names another user",
}
_LISTS = ("bootcmd", "runcmd", "write_files")
_KEYS = "ssh_authorized_keys"
_LOCKS_OUT = ("ssh_redirect_user", "snapuser")
_NO_SHELLS = ("/nologin", "/false")
_HOSTS_PATH = "/etc/hosts"
_SHOWN_LENGTH = 60
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")


def required_values(node: str, ssh_user: str) -> dict[str, Any]:
    """The values without which the node could not be found or logged in to; a user may say the same."""
    root = {"disable_root": False} if ssh_user == "root" else {}
    return {"hostname": node, "preserve_hostname": False, "manage_etc_hosts": False, "ssh_deletekeys": True, **root}


def value_problems(user_data: Mapping[str, Any], required: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Where a user's cloud-config says something else than `required`, with what to do about it."""
    for key, ours in required.items():
        value = user_data.get(key)
        if value is not None and not _means(value, ours):
            remedy = f"{_LEAVE_IT}, or write {_shown(ours)}" if isinstance(ours, bool) else _LEAVE_IT
            yield (key,), f"{_shown(value)} cannot be: {_REASONS[key]} ({remedy})"


def shape_problems(user_data: Mapping[str, Any], ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    """What cloud-init could not read, or what would keep `ssh_user` (None: not known) from logging in."""
    for key, why in _REFUSED.items():
        if user_data.get(key) is not None:
            yield (key,), f"cannot be set: {why}"
    for key in _LISTS:
        if not isinstance(user_data.get(key), list | tuple | None):
            yield (key,), "must be a list, or cloud-init does not read it (write lines that begin with `- `)"
    yield from _key_problems(user_data.get(_KEYS), (_KEYS,))
    yield from _user_problems(user_data.get("users"), ssh_user)
    yield from _file_problems(user_data.get("write_files"))


def merge_cloud_config(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge, lists append, accounts merge by name, and single values of `over` win."""
    base, over = _in_lists(base), _in_lists(over)
    merged = merge(base, over)
    if "users" in base and "users" in over:
        merged["users"] = merge_users(base["users"], over["users"])
    return merged


def with_login(
    ours: Mapping[str, Any], user_data: Mapping[str, Any], required: Mapping[str, Any], ssh_user: str, public_key: str
) -> dict[str, Any]:
    """A user's cloud-config merged over ours so that `required` holds and `public_key` lets `ssh_user` in.

    Any user data gives a cloud-config: what stands against it was refused when the topology was read.
    """
    theirs = {
        key: value
        for key, value in user_data.items()
        if key not in required and key not in _REFUSED and not (value is None and key in ours)
    }
    merged = merge_cloud_config(ours, theirs)
    merged["users"] = [_admitting(entry, ssh_user, public_key) for entry in merged.get("users", ())]
    if isinstance(merged.get("user"), Mapping):
        merged["user"] = _admitting(merged["user"], ssh_user, public_key)
    return {**merged, **required}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings are merged, lists appended, everything else is that of `over`."""
    merged = dict(base)
    for key, value in over.items():
        mine = merged.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(mine, value)
        elif isinstance(mine, list | tuple) and isinstance(value, list | tuple):
            merged[key] = [*mine, *value]
        else:
            merged[key] = value
    return merged


def merge_users(base: Iterable[Any], over: Iterable[Any]) -> list[Any]:
    """The accounts of both lists, one for each name, in the order in which the names come."""
    by_name: dict[str, Any] = {}
    for entry in (*base, *over):
        name = _name_of(entry)
        if name not in by_name:
            by_name[name] = entry
        elif not isinstance(entry, str):
            by_name[name] = merge(_fields(by_name[name]), _fields(entry))
    return list(by_name.values())


def _in_lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with accounts and keys in the one form that all versions of cloud-init read alike."""
    found = dict(config)
    if "users" in found:
        found["users"] = merge_users((), _accounts(found["users"]))
    if _KEYS in found:
        found[_KEYS] = _keys(found[_KEYS])
    return found


def _accounts(users: Any) -> list[Any]:
    """The entries of `users` in each form that cloud-init takes: names as they are, accounts as mappings."""
    if isinstance(users, str):
        return [name.strip() for name in users.split(",") if name.strip()]
    if isinstance(users, Mapping):
        wanted = {name: of for name, of in users.items() if isinstance(of, Mapping) or _means(of, ours=True)}
        return [{**of, "name": name} if isinstance(of, Mapping) else name for name, of in wanted.items()]
    entries = users if isinstance(users, list | tuple) else ()
    return [
        account
        for entry in entries
        for account in (_accounts(entry) if isinstance(entry, str | list | tuple) else [entry])
        if isinstance(account, str | Mapping)
    ]


def _keys(keys: Any) -> list[Any]:
    if isinstance(keys, str):
        return [line.strip() for line in keys.splitlines() if line.strip()]
    if isinstance(keys, Mapping):
        return list(keys.values())
    return list(keys) if isinstance(keys, list | tuple) else []


def _name_of(entry: Any) -> str:
    return entry if isinstance(entry, str) else str(entry.get("name", DEFAULT_USER))


def _fields(entry: Any) -> dict[str, Any]:
    """An account's fields, spelled as cloud-init reads them: `ssh-authorized-keys` is `ssh_authorized_keys`."""
    if isinstance(entry, str):
        return {"name": entry}
    fields = {key.replace("-", "_").strip(): value for key, value in entry.items()}
    return {**fields, _KEYS: _keys(fields[_KEYS])} if _KEYS in fields else fields


def _admitting(entry: Any, ssh_user: str, public_key: str) -> Any:
    """The account with our key, where it has keys and is, or may be, the one that we log in to.

    Of the image's own user cloud-init keeps the keys that stand here, and drops those of the account of its name.
    """
    may_be = {ssh_user} if ssh_user == "root" else {ssh_user, DEFAULT_USER}
    if isinstance(entry, str) or _name_of(entry) not in may_be:
        return entry
    fields = _fields(entry)
    if _KEYS not in fields or public_key in fields[_KEYS]:
        return entry
    return {**fields, _KEYS: [public_key, *fields[_KEYS]]}


def _means(value: Any, ours: Any) -> bool:
    """Whether cloud-init takes the two for the same (`util.is_true` and `util.is_false`)."""
    if not isinstance(ours, bool):
        return bool(value == ours)
    return str(value).lower().strip() in (_TRUE if ours else _FALSE)


def _key_problems(keys: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if not isinstance(keys, str | list | tuple | Mapping | None):
        yield place, "must be a list of public keys (write lines that begin with `- `)"
    for part, key in _numbered(keys) if isinstance(keys, list | tuple | Mapping) else ():
        if not isinstance(key, str):
            yield (*place, part), "must be a public key, as one line of text"


def _user_problems(users: Any, ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    if not isinstance(users, str | list | tuple | Mapping | None):
        yield ("users",), "must be a list of accounts (write lines such as `- name: alice`)"
        return
    named = isinstance(users, Mapping)
    for part, entry in _numbered(users) if isinstance(users, list | tuple | Mapping) else ():
        place: Place = ("users", part)
        if isinstance(entry, Mapping):
            fields = {**entry, "name": part} if named else entry
            yield from _account_problems(fields, place, ssh_user)
        elif not named and not _is_names(entry):
            yield place, "must be a name, or a mapping with `name` and what else the account has"
        elif isinstance(entry, list | tuple | None) and named:
            yield place, "must be a mapping of what the account has, or true"


def _account_problems(entry: Mapping[str, Any], place: Place, ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    if not isinstance(entry.get("name", DEFAULT_USER), str):
        yield (*place, "name"), "must be text (put it in quotes)"
        return
    own = {key.replace("-", "_").strip(): key for key in entry}
    if _KEYS in own:
        yield from _key_problems(entry[own[_KEYS]], (*place, own[_KEYS]))
    if _name_of(entry) != ssh_user:
        return
    why = f"would lock this program out, which logs in as {ssh_user} ({_LEAVE_IT}, or set `ssh.user` to another user)"
    for key in _LOCKS_OUT:
        if key in own and entry[own[key]] and not _means(entry[own[key]], ours=False):
            yield (*place, own[key]), why
    if str(entry.get("shell", "")).endswith(_NO_SHELLS):
        yield (*place, "shell"), why


def _file_problems(files: Any) -> Iterator[tuple[Place, str]]:
    for number, file in _numbered(files) if isinstance(files, list | tuple) else ():
        if not isinstance(file, Mapping):
            yield ("write_files", number), "must be a mapping (with `path`, `content` and what else the file has)"
            continue
        if "permissions" in file and (why := mode_problem(file["permissions"])):
            yield ("write_files", number, "permissions"), why
        if _plain(file.get("path")) == _HOSTS_PATH and not _means(file.get("append", False), ours=True):
            yield (
                ("write_files", number, "path"),
                f"{_HOSTS_PATH} would lose the cluster's nodes (add `append: true`: your lines are kept at every boot)",
            )


def _plain(path: Any) -> str:
    """A path as cloud-init takes it (`os.path.abspath`)."""
    return posixpath.normpath(f"/{path.lstrip('/')}") if isinstance(path, str) else ""


def mode_problem(permissions: Any) -> str | None:
    """Why cloud-init would write a file with other permissions than it is given; numbers it takes as they are."""
    if permissions is None or type(permissions) is int:
        return None
    try:
        int(permissions, 8)
    except (TypeError, ValueError):
        return f'{_shown(permissions)} is not an octal mode, and cloud-init would take 0644 (write "0644", for example)'
    return None


def _numbered(entries: Any) -> Iterable[tuple[Any, Any]]:
    return entries.items() if isinstance(entries, Mapping) else enumerate(entries)


def _is_names(entry: Any) -> bool:
    names = entry if isinstance(entry, list | tuple) else [entry]
    return all(isinstance(name, str) for name in names)


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
