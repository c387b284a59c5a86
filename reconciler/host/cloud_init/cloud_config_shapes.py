"""The shapes of values that cloud-init's modules read: with any other shape they fail, or ignore the value. Pure.

A value may have each of the forms that its module accepts. Facts are from `cloudinit/config/` and
`distros/ug_util.py` of cloud-init 22.4; of later versions, the mappings of `packages` (23.4).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.host.cloud_init.cloud_config_values import Place, as_yaml, means, numbered

_EACH = "*"
"""In a path, matches every entry of a list or a mapping."""

_Shape = tuple[tuple[type, ...], str]
_LIST: tuple[type, ...] = (list, tuple)
_A_MAPPING: _Shape = ((Mapping,), "a mapping (write its `key: value` lines below it)")
_A_LIST: _Shape = (_LIST, "a list (write lines that start with `- `)")
_A_TEXT: _Shape = ((str,), "text (put it in quotes)")
_A_LINE: _Shape = ((str, int, float), "text (put it in quotes)")
_NAMES: _Shape = ((str, *_LIST), "names as text or as a list (write `[alice, bob]`)")
_MAPPINGS = """
    ansible apk_repos apt ca-certs ca_certs chef chpasswd device_aliases drivers fan growpart grub-dpkg grub_dpkg
    keyboard landscape lxd mcollective ntp phone_home power_state puppet random_seed resolv_conf rh_subscription
    salt_minion snap spacewalk ssh swap ubuntu_advantage ubuntu_pro updates wireguard yum_repos zypper
"""
_SHAPES: dict[Place, _Shape] = {
    **{(key,): _A_MAPPING for key in _MAPPINGS.split()},
    ("user",): ((str, Mapping), "a name, or a mapping that describes the image's own user"),
    ("groups",): ((str, *_LIST, Mapping), "a list of groups (write lines such as `- admins: [alice]`)"),
    ("ssh_publish_hostkeys",): ((Mapping,), "a mapping (write `enabled: false` below it)"),
    ("mounts",): (_LIST, "a list of lists (write lines such as `- [vdb, /srv]`)"),
    ("mounts", _EACH): (_LIST, "a list (write `[vdb, /srv]`)"),
    ("mount_default_fields",): _A_LIST,
    ("fs_setup",): (_LIST, "a list of mappings (write `- device: /dev/vdb`, with its other keys below it)"),
    ("fs_setup", _EACH): ((Mapping,), "a mapping (write `device: /dev/vdb`, with its other keys below it)"),
    ("disk_setup",): ((Mapping,), "a mapping of devices (write `/dev/vdb:`, and what it has below it)"),
    ("disk_setup", _EACH): _A_MAPPING,
    ("rsyslog",): ((Mapping, *_LIST), "a mapping (write `configs:` below it, and its list)"),
    ("cloud_config_modules",): _A_LIST,
    ("cloud_final_modules",): _A_LIST,
    ("packages",): ((str, *_LIST), "a list of names (write lines that start with `- `)"),
    ("packages", _EACH): ((str, *_LIST, Mapping), "a name as text, or `[name, version]`"),
    ("apt", "sources"): _A_MAPPING,
    ("apt", "sources", _EACH): _A_MAPPING,
    ("apt", "primary"): _A_LIST,
    ("apt", "security"): _A_LIST,
    ("yum_repos", _EACH): _A_MAPPING,
    ("ntp", "servers"): _A_LIST,
    ("ntp", "pools"): _A_LIST,
    ("resolv_conf", "nameservers"): _A_LIST,
    ("resolv_conf", "searchdomains"): _A_LIST,
    ("snap", "commands"): ((Mapping, *_LIST), "a list of commands (write lines that start with `- `)"),
    ("snap", "assertions"): ((Mapping, *_LIST), "a list of assertions (write lines that start with `- `)"),
    ("wireguard", "interfaces"): _A_LIST,
    ("chpasswd", "list"): ((str, *_LIST), "lines like `alice:secret`"),
    ("chpasswd", "users"): (_LIST, "a list of mappings (write `- name: alice`, and `password:` below it)"),
    ("chpasswd", "users", _EACH): ((Mapping,), "a mapping (write `name: alice`, and `password:` below it)"),
    ("random_seed", "data"): _A_TEXT,
    ("timezone",): _A_TEXT,
    ("keyboard", "layout"): _A_TEXT,
    ("fqdn",): _A_TEXT,
    ("locale",): ((str, bool), "text (put it in quotes), or false"),
    ("password",): _A_LINE,
    ("swap", "size"): _A_LINE,
}
_NEEDED: tuple[tuple[Place, str, str], ...] = (
    (("power_state",), "mode", "poweroff"),
    (("phone_home",), "url", "http://192.168.100.1/done"),
    (("keyboard",), "layout", "us"),
    (("chpasswd", "users", _EACH), "name", "alice"),
)
_CHOICES: dict[Place, tuple[str, ...]] = {
    ("power_state", "mode"): ("poweroff", "reboot", "halt"),
    ("growpart", "mode"): ("auto", "growpart", "gpart", "off"),
    ("chpasswd", "users", _EACH, "type"): ("text", "hash", "RANDOM"),
}
_PACKAGE_MANAGERS = frozenset({"apt", "snap"})


def misshapen(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Everything that a module would misread, with what to write instead; the outermost value only."""
    refused: set[Place] = set()
    for check in (_shape_problems, _lacks, _choice_problems, _package_problems, _group_problems, _line_problems):
        for place, message in check(user_data):
            if not any(place[:depth] in refused for depth in range(1, len(place) + 1)):
                refused.add(place)
                yield place, message


def _shape_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for path, (shapes, words) in _SHAPES.items():
        for place, value in _at(user_data, path):
            if not isinstance(value, shapes) or (isinstance(value, bool) and bool not in shapes):
                yield place, f"must be {words}"


def _lacks(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for path, key, example in _NEEDED:
        for place, value in _at(user_data, path):
            if isinstance(value, Mapping) and value.get(key) is None:
                yield place, f"has no `{key}` (write `{key}: {example}`, for example)"


def _choice_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for path, known in _CHOICES.items():
        for place, value in _at(user_data, path):
            if value not in known and not ("off" in known and means(value, ours=False)):
                yield place, f"{as_yaml(value)} is not known to cloud-init (write {', '.join(known)})"


def _at(value: Any, path: Place, above: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value at a path, with its place; null is a value as an entry, and absent below a key."""
    if not path:
        yield above, value
    elif path[0] == _EACH:
        entries = value if isinstance(value, list | tuple | Mapping) else ()
        for part, entry in numbered(entries):
            yield from _at(entry, path[1:], (*above, part))
    elif isinstance(value, Mapping) and value.get(path[0]) is not None:
        yield from _at(value[path[0]], path[1:], (*above, path[0]))


def _package_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for place, package in _at(user_data, ("packages", _EACH)):
        if isinstance(package, Mapping) and not package.keys() <= _PACKAGE_MANAGERS:
            yield place, "is a mapping to YAML, and no package would be installed (write `[name, version]`)"
        elif isinstance(package, list | tuple) and not _is_package(package):
            yield place, "must be a name and a version, both as text (write `[name, '1.0']`)"


def _is_package(package: list[Any] | tuple[Any, ...]) -> bool:
    return len(package) in {1, 2} and all(isinstance(part, str) for part in package)


def _group_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """One bad group stops the module that creates accounts, including ours."""
    groups = user_data.get("groups")
    for part, entry in numbered(groups) if isinstance(groups, list | tuple | Mapping) else ():
        place: Place = ("groups", part)
        if isinstance(groups, Mapping):
            yield from _member_problems(entry, place)
        elif isinstance(entry, Mapping):
            for name, members in entry.items():
                yield from _member_problems(members, (*place, name))
        elif not isinstance(entry, str):
            yield place, f"{as_yaml(entry)} is not a group name (put it in quotes, or write `admins: [alice]`)"


def _member_problems(members: Any, place: Place) -> Iterator[tuple[Place, str]]:
    shapes, words = _NAMES
    named = members if isinstance(members, list | tuple) else ()
    if not isinstance(members, shapes) or not all(isinstance(name, str) for name in named):
        yield place, f"must be {words}"


def _line_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """A single line without a colon means that no password is set."""
    for place, lines in _at(user_data, ("chpasswd", "list")):
        listed = lines.splitlines() if isinstance(lines, str) else lines
        for part, line in enumerate(listed if isinstance(listed, list | tuple) else ()):
            if not isinstance(line, str) or ":" not in line:
                where: Place = place if isinstance(lines, str) else (*place, part)
                yield where, f"{as_yaml(line)} is not a line like `alice:secret` (put each in quotes)"
                break
