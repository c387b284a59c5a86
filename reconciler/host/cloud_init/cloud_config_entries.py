"""The commands and files of a cloud-config: those that cloud-init could not run or write as they are. Pure.

One bad entry costs the whole list: the module that reads it fails, along with our own entries in `bootcmd`. Facts are
from `util.shellify` and `cc_write_files` of cloud-init 22.4.
"""

import base64
import binascii
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.host.cloud_init.cloud_config_values import Place, as_yaml, means

_COMMANDS = ("bootcmd", "runcmd")
_LISTS = (*_COMMANDS, "write_files")
_HOSTS_PATH = "/etc/hosts"
_OURS = {
    "/etc/hostname": "is the node's name (remove it)",
    **{
        f"/etc/ssh/ssh_host_{kind}_key{end}": "is a host key, which vmcluster creates and verifies (remove it)"
        for kind in ("rsa", "dsa", "ecdsa", "ed25519")
        for end in ("", ".pub")
    },
}
_GZIP = b"\x1f\x8b"
_BASE64 = frozenset({"b64", "base64"})
_GZIPPED = frozenset({"gz+b64", "gz+base64", "gzip+b64", "gzip+base64"})
_ENCODINGS = frozenset({"", "text/plain", "gz", "gzip", *_BASE64, *_GZIPPED})
_ANY_MODE = 0o7777


def entry_problems(user_data: Mapping[str, Any], ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    """Lists that are not lists, and entries that would not be run or written as intended."""
    for key in _LISTS:
        entries = user_data.get(key)
        if not isinstance(entries, list | tuple | None):
            yield (key,), "must be a list, or cloud-init does not read it (write lines that start with `- `)"
            continue
        for number, entry in enumerate(entries or ()):
            found = _file_problems(entry, ssh_user) if key not in _COMMANDS else _command_problems(entry)
            for place, message in found:
                yield (key, number, *place), message


def mode_problem(permissions: Any) -> str | None:
    """Why cloud-init would write a file with other permissions than given; it accepts numbers as they are."""
    if permissions is None:
        return None
    try:
        mode = permissions if type(permissions) is int else int(permissions, 8)
    except (TypeError, ValueError):
        return f'{as_yaml(permissions)} is not an octal mode, and cloud-init would use 0644 (write "0644", for example)'
    return None if 0 <= mode <= _ANY_MODE else f'{as_yaml(permissions)} is not a file mode (write "0644", for example)'


def _command_problems(command: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(command, Mapping):
        yield (), "is a mapping in YAML because of a `: ` in it, and stops all commands (put the command in quotes)"
    elif not isinstance(command, str | list | tuple | None):
        yield (), f"{as_yaml(command)} is not text, and stops all commands (put the command in quotes)"
    elif isinstance(command, list | tuple) and any(isinstance(word, Mapping | list | tuple) for word in command):
        yield (), "contains a list or mapping among its words (write each word as text, in quotes if needed)"


def _file_problems(file: Any, ssh_user: str | None) -> Iterator[tuple[Place, str]]:
    if not isinstance(file, Mapping):
        yield (), "must be a mapping (with `path`, `content` and the file's other fields)"
        return
    if why := _path_problem(file, ssh_user):
        yield ("path",), why
    for key in ("content", "owner", "encoding"):
        is_empty = file.get(key) is None and (key != "content" or key not in file)
        if not isinstance(file.get(key), str) and not is_empty:
            yield (key,), f"{as_yaml(file[key])} is not text, and then no file is written (put it in quotes)"
    if "permissions" in file and (why := mode_problem(file["permissions"])):
        yield ("permissions",), why
    if isinstance(file.get("encoding"), str) and (why := _encoding_problem(file["encoding"], file.get("content"))):
        yield ("encoding",), why


def _path_problem(file: Mapping[str, Any], ssh_user: str | None) -> str | None:
    path = file.get("path")
    if not isinstance(path, str) or not path:
        return (
            "is missing (write `path: /etc/example.conf`)" if not path else f"{as_yaml(path)} is not a path (quote it)"
        )
    if path.startswith(("~", "$")):
        return f"{as_yaml(path)} is used literally, and `~` and variables are not expanded (write an absolute path)"
    plain = posixpath.normpath(f"/{path.lstrip('/')}")  # as cloud-init does: `os.path.abspath`
    if plain == _HOSTS_PATH and not means(file.get("append", False), ours=True):
        return f"{_HOSTS_PATH} would lose the cluster's nodes (add `append: true`: your lines are kept at every boot)"
    home = "/root" if ssh_user == "root" else f"/home/{ssh_user}"
    if ssh_user and plain == f"{home}/.ssh/authorized_keys":
        return f"{plain} contains vmcluster's key (write your keys as `ssh_authorized_keys`, which adds them to it)"
    return f"{plain} {_OURS[plain]}" if plain in _OURS else None


def _encoding_problem(encoding: str, content: Any) -> str | None:
    encoding = encoding.lower().strip()
    if encoding not in _ENCODINGS:
        return (
            f"{as_yaml(encoding)} is not known to cloud-init, which would write the text as it is (write b64 or gz+b64)"
        )
    if not isinstance(content, str) or encoding not in _BASE64 | _GZIPPED:
        return None
    try:
        decoded = base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return "the content is not base64 (encode it: `base64 -w0 FILE`)"
    if encoding in _GZIPPED and not decoded.startswith(_GZIP):
        return "the content is not gzip in base64 (encode it: `gzip -c FILE | base64 -w0`)"
    return None
