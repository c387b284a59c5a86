"""Cloud-config as cloud-init reads it: which user settings are compatible with ours, and how both merge. Pure.

Facts are from the source of cloud-init 22.4. Of two accounts of one name it keeps the values of the first; it splits
`users` given as text into names, and `ssh_authorized_keys` given as text into one key per character.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.host.cloud_init.cloud_config_entries import entry_problems
from reconciler.host.cloud_init.cloud_config_shapes import misshapen
from reconciler.host.cloud_init.cloud_config_values import Place, as_yaml, means, numbered
from reconciler.host.cloud_init.unknown_keys import spelling_problems

DEFAULT_USER = "default"
"""Stands for the image's own user in `users`."""

_LEAVE_IT = "remove it"
_REFUSED = {
    "network": f"the node's address is its `ip` ({_LEAVE_IT}, and describe the network in the topology)",
    "merge_how": f"user_data reaches cloud-init in one piece, merged beforehand ({_LEAVE_IT})",
    "merge_type": f"user_data reaches cloud-init in one piece, merged beforehand ({_LEAVE_IT})",
    "ssh_keys": f"host keys are created and verified by vmcluster ({_LEAVE_IT})",
    "cloud_init_modules": "a list without the modules that set up SSH would lock vmcluster out"
    f" ({_LEAVE_IT}; cloud_config_modules and cloud_final_modules may be set)",
}
_REASONS = {
    "hostname": "a node's name is its host name",
    "preserve_hostname": "a node's name is its host name",
    "manage_etc_hosts": "/etc/hosts lists the cluster's nodes; add your own lines by write_files with `append: true`",
    "ssh_deletekeys": "host keys are created and verified by vmcluster",
    "disable_root": "vmcluster logs in as root, unless `ssh.user` names another user",
}
_PWAUTH = "ssh_pwauth"
_KEYS = "ssh_authorized_keys"
_LOCKS_OUT = ("ssh_redirect_user", "snapuser", "expiredate")
_WITHOUT_HOME = frozenset({"no_create_home", "system"})
_IN_HOME = frozenset({_KEYS, "ssh_import_id", "ssh_redirect_user"})
_NO_SHELLS = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown", "git-shell"})
_NO_NAME = re.compile(r"^[-~+]|[\s:,/\x00-\x1f\x7f]|^\.{0,2}$|^[0-9]+$|.{33}")
"""Of shadow's useradd, as Debian patches it: other distributions take fewer."""
_NOT_TAKEN = "is no name that useradd takes (write `alice`, for example)"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FQDN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "cert-authority")


def required_values(node: str, ssh_user: str) -> dict[str, Any]:
    """The values without which the node could not be found or logged in to; user data may repeat them."""
    root = {"disable_root": False} if ssh_user == "root" else {}
    return {"hostname": node, "preserve_hostname": False, "manage_etc_hosts": False, "ssh_deletekeys": True, **root}


def value_problems(user_data: Mapping[str, Any], required: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Where a user's cloud-config contradicts `required`, with what to do about it."""
    for key, ours in required.items():
        value = user_data.get(key)
        if value is not None and not means(value, ours):
            remedy = f"{_LEAVE_IT}, or write {as_yaml(ours)}" if isinstance(ours, bool) else _LEAVE_IT
            yield (key,), f"{as_yaml(value)} is impossible: {_REASONS[key]} ({remedy})"


def shape_problems(user_data: Mapping[str, Any], ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    """What cloud-init could not read, or what would keep `ssh_user` (None: not known) from logging in."""
    for key, why in _REFUSED.items():
        if user_data.get(key) is not None:
            yield (key,), f"cannot be set: {why}"
    yield from misshapen(user_data)
    login = user_data.get(_PWAUTH)
    if not (login is None or means(login, ours=True) or means(login, ours=False) or login == "unchanged"):
        yield (_PWAUTH,), f"{as_yaml(login)} is neither true, false nor `unchanged`"
    if means(user_data.get("prefer_fqdn_over_hostname"), ours=True):
        yield (
            ("prefer_fqdn_over_hostname",),
            f"true is impossible: {_REASONS['hostname']} ({_LEAVE_IT}, or write false)",
        )
    yield from _fqdn_problems(user_data.get("fqdn"))
    yield from spelling_problems(user_data)
    yield from entry_problems(user_data, ssh_user)
    yield from _key_problems(user_data.get(_KEYS), (_KEYS,))
    yield from _user_problems(user_data.get("users"), ssh_user)
    yield from _password_problems(user_data, ssh_user)


def fqdn_of(node: str, user_data: Mapping[str, Any]) -> str | None:
    """The full name that user data gives a node; None if there is none, or it is the node's own name."""
    fqdn = user_data.get("fqdn")
    return fqdn if isinstance(fqdn, str) and _FQDN.fullmatch(fqdn) and fqdn != node else None


def _fqdn_problems(fqdn: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(fqdn, str) and not _FQDN.fullmatch(fqdn):
        yield ("fqdn",), f"{as_yaml(fqdn)} is no name of a host (write `n1.example.com`, for example)"


def merge_cloud_config(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`: mappings merge, lists append, accounts merge by name, single values of `over` win."""
    base, over = _in_lists(base), _in_lists(over)
    merged = merge(base, over)
    if "users" in base and "users" in over:
        merged["users"] = merge_users(base["users"], over["users"])
    return merged


def with_login(
    ours: Mapping[str, Any], user_data: Mapping[str, Any], required: Mapping[str, Any], ssh_user: str, public_key: str
) -> dict[str, Any]:
    """A user's cloud-config merged over ours so that `required` holds and `public_key` lets `ssh_user` in.

    Any user data yields a cloud-config: contradictions were refused when the topology was read.
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
    if "fqdn" in merged:  # some distributions would make it the host name
        merged["prefer_fqdn_over_hostname"] = False
    return {**merged, **required}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` merged into `base`: mappings are merged, lists appended, everything else is that of `over`."""
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
    """The accounts of both lists, one for each name, in the order in which the names first occur."""
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
    """The entries of `users` in each form that cloud-init accepts: names as they are, accounts as mappings."""
    if isinstance(users, str):
        return [name.strip() for name in users.split(",") if name.strip()]
    if isinstance(users, Mapping):
        wanted = {name: of for name, of in users.items() if isinstance(of, Mapping) or means(of, ours=True)}
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
    """The account with our key added, if it has keys and is, or may be, the one that we log in to.

    For the image's own user cloud-init keeps the keys given here, and drops those of the account of that name.
    """
    may_be = {ssh_user} if ssh_user == "root" else {ssh_user, DEFAULT_USER}
    if isinstance(entry, str) or _name_of(entry) not in may_be:
        return entry
    fields = _fields(entry)
    if _KEYS not in fields or public_key in fields[_KEYS]:
        return entry
    return {**fields, _KEYS: [public_key, *fields[_KEYS]]}


def _key_problems(keys: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if not isinstance(keys, str | list | tuple | Mapping | None):
        yield place, "must be a list of public keys (write lines that start with `- `)"
    lines = [((), line) for line in keys.splitlines()] if isinstance(keys, str) else []
    entries = numbered(keys) if isinstance(keys, list | tuple | Mapping) else ()
    for part, key in [*lines, *(((number,), entry) for number, entry in entries)]:
        if not isinstance(key, str):
            yield (*place, *part), "must be a public key, as one line of text"
        elif key.strip() and not any(word.startswith(_KEY_TYPES) for word in key.split()):
            yield (
                (*place, *part),
                f"{as_yaml(key)} is not a public key (write the text of the `.pub` file, not its name)",
            )


def _user_problems(users: Any, ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    if not isinstance(users, str | list | tuple | Mapping | None):
        yield ("users",), "must be a list of accounts (write lines such as `- name: alice`)"
        return
    named = isinstance(users, Mapping)
    for part, entry in numbered(users) if isinstance(users, list | tuple | Mapping) else ():
        place: Place = ("users", part)
        if isinstance(entry, Mapping):
            fields = {**entry, "name": part} if named else entry
            yield from _account_problems(fields, place, ssh_user)
        elif not named and not _is_names(entry):
            yield place, "must be a name, or a mapping with `name` and the account's other fields"
        elif isinstance(entry, list | tuple | None) and named:
            yield place, "must be a mapping of the account's fields, or true"
        elif isinstance(entry, str) and any(_NO_NAME.search(name.strip()) for name in entry.split(",")):
            yield place, f"{as_yaml(entry)} {_NOT_TAKEN}"


def _account_problems(entry: Mapping[str, Any], place: Place, ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    if not isinstance(entry.get("name", DEFAULT_USER), str):
        yield (*place, "name"), "must be text (put it in quotes)"
        return
    if _NO_NAME.search(entry.get("name", DEFAULT_USER)):
        yield (*place, "name"), f"{as_yaml(entry['name'])} {_NOT_TAKEN}"
    own = {key.replace("-", "_").strip(): key for key in entry}
    yield from _field_problems(entry, own, place)
    yield from _home_problems(entry, own, place, ssh_user)
    if _KEYS in own:
        yield from _key_problems(entry[own[_KEYS]], (*place, own[_KEYS]))
    if _name_of(entry) != ssh_user:
        return
    why = f"would lock vmcluster out, which logs in as {ssh_user} ({_LEAVE_IT}, or set `ssh.user` to another user)"
    for key in _LOCKS_OUT:
        if key in own and entry[own[key]] and not means(entry[own[key]], ours=False):
            yield (*place, own[key]), why
    if str(entry.get("shell", "")).rpartition("/")[2] in _NO_SHELLS:
        yield (*place, "shell"), why


def _field_problems(entry: Mapping[str, Any], own: Mapping[str, str], place: Place) -> Iterator[tuple[Place, str]]:
    """What an account lacks, or what makes cloud-init's module for accounts fail; `own` are its fields as spelled."""
    if not own.keys() & {"name", "snapuser"}:
        yield place, "has no `name` (write `- name: alice`, with the account's other fields below it)"
    if entry.get("sudo") and not isinstance(entry["sudo"], str | list | tuple):
        yield (*place, "sudo"), "must be a rule as text (write `ALL=(ALL) NOPASSWD:ALL`, for example)"
    groups = entry.get("groups")
    if groups and not _is_names(list(groups) if isinstance(groups, Mapping) else groups):
        yield (*place, "groups"), "must be names of groups (write `[sudo, adm]`, for example)"


def _home_problems(
    entry: Mapping[str, Any], own: Mapping[str, str], place: Place, ssh_user: str | None
) -> Iterator[tuple[Place, str]]:
    """cloud-init creates no accounts at all if one has keys, as ours has, but no home directory to keep them in."""
    is_ours = ssh_user != "root" and _name_of(entry) == ssh_user
    if not is_ours and not any(entry[own[key]] for key in _IN_HOME & own.keys()):
        return
    for key in sorted(_WITHOUT_HOME & own.keys()):
        if entry[own[key]]:
            remedy = "leave it out" if is_ours else "leave it out, or the keys"
            yield (
                (*place, own[key]),
                f"has no home for SSH keys, and no account would be created ({remedy})",
            )


def _password_problems(user_data: Mapping[str, Any], ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    """Sshd refuses users with an expired password, even with a key; and `chpasswd` expires all passwords by default."""
    asked = user_data.get("chpasswd")
    if not isinstance(asked, Mapping) or means(asked.get("expire", True), ours=False):
        return
    lines, users = asked.get("list"), asked.get("users")
    lines = lines.splitlines() if isinstance(lines, str) else lines
    named = [str(line).partition(":")[0].strip() for line in (lines if isinstance(lines, list | tuple) else ())]
    named += [
        str(of.get("name")) for of in (users if isinstance(users, list | tuple) else ()) if isinstance(of, Mapping)
    ]
    if ssh_user in named:
        yield (
            ("chpasswd",),
            f"expires the password of {ssh_user}, and then no key lets vmcluster in (add `expire: false`)",
        )


def _is_names(entry: Any) -> bool:
    names = entry if isinstance(entry, list | tuple) else [entry]
    return all(isinstance(name, str) for name in names)
