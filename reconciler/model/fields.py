"""The single values that a topology or a configuration may hold, each with what it has to look like.

Their messages say what to write; relative paths and `~/` need `base_dir` and `home` in the context of a validation.
"""

import posixpath
import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, ValidationInfo

from reconciler.model.names import (
    CLUSTER_NAME_MAX_LENGTH,
    INTERFACE_NAME_MAX_LENGTH,
    LABEL_PATTERN,
    NODE_NAME_MAX_LENGTH,
)

CMDLINE_MAX_LENGTH = 2047  # COMMAND_LINE_SIZE - 1 on x86, arch/x86/include/asm/setup.h
USER_NAME_MAX_LENGTH = 32  # useradd(8)

_LABEL = rf"^{LABEL_PATTERN}$"
_WORD = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_CPU = r"^[A-Za-z0-9_.-]+$"
_USER = r"^[a-z_][a-z0-9_-]*[$]?$"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"

_INTO_RUNCMD = "write it as `write_files` with its path and `permissions`, and run that path in `runcmd`"
_MIME = "is a MIME archive, but cloud-config is a mapping (merge its parts into one)"
_OTHER_FORMAT = "is of a kind that is no cloud-config (write as cloud-config what it does)"
_PACKED = "is packed or encoded (write the `key: value` lines that it holds)"
_TEXT_REMEDIES = {
    "#cloud-config-jsonp": _OTHER_FORMAT,
    "#part-handler": _OTHER_FORMAT,
    "#upstart-job": _OTHER_FORMAT,
    "#ps1": _OTHER_FORMAT,
    "{": "is JSON as text (remove the quotes or the `|`: its keys belong right here)",
    "H4sI": _PACKED,
    "I2Nsb3VkL": _PACKED,
    "#cloud-config-archive": "is an archive, but cloud-config is a mapping (merge its parts into one)",
    "#cloud-config": "is cloud-config as text (remove the `|` and the first line: its keys belong right here)",
    "#cloud-boothook": "is a boot hook (write its commands under `bootcmd`, which run at every boot)",
    "#!": f"is a script, but cloud-config is a mapping ({_INTO_RUNCMD})",
    "#include": "names files to be fetched (write what they hold right here)",
    "## template: jinja": "is a template (write it out, a node's own values in the node's `user_data`)",
    "content-type:": _MIME,
    "mime-version:": _MIME,
    "from nobody": _MIME,
}

PATTERN_WORDS = {
    _LABEL: "lower-case letters, digits and '-', with a letter or digit at both ends",
    _WORD: "letters, digits, '_', '.' and '-', beginning with a letter or digit",
    _CPU: "letters, digits, '_', '.' and '-'",
    _USER: "lower-case letters, digits, '_' and '-', not beginning with a digit or '-'",
    _ONE_LINE: "one line of text without control characters",
}


def _plain_path(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str | Path):
        raise ValueError("is not a path (write it as text, in quotes where needed)")
    text = str(value)
    if not text or not text.isprintable():
        raise ValueError("is empty or holds control characters (write a plain file name)")
    if _URL.match(text):
        raise ValueError(f"{text[:60]!r} is a URL, but a file of this host is needed (fetch it, and write its path)")
    if text.startswith("$"):
        raise ValueError(f"{text[:60]!r} begins with a variable, and none are filled in (write `~/` or the whole path)")
    base_dir: Path | None = (info.context or {}).get("base_dir")
    if text.startswith("~"):
        text = _in_home(text, (info.context or {}).get("home"))
    if not text.startswith("/") and base_dir is None:
        raise ValueError(f"{text!r} is a relative path (write it from the root, with a leading '/')")
    return posixpath.normpath(posixpath.join(base_dir or "/", text))


def _in_home(text: str, home: Path | None) -> str:
    if home is None or not (text == "~" or text.startswith("~/")):
        raise ValueError(f"{text!r} begins with a home directory that is not known (write the whole path)")
    return f"{home}{text[1:]}"


def _address(value: Any) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]} is not an IPv4 address (write it as 192.168.100.10)")
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise ValueError(f"{value[:40]!r} is not an IPv4 address (write it as 192.168.100.10)") from None


def _subnet(value: Any) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or "/" not in value:
        raise ValueError(f"{str(value)[:40]!r} is not an IPv4 subnet (write it as 192.168.100.0/24)")
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError):
        raise ValueError(f"{value[:40]!r} is not an IPv4 subnet (write it as 192.168.100.0/24)") from None
    if str(network.network_address) != value.partition("/")[0]:
        raise ValueError(f"{value!r} is an address inside a subnet (write the subnet itself: {network})")
    return network


def _cloud_config(value: Any) -> Any:
    """Say what to write in place of the other forms of user data that cloud-init takes."""
    if isinstance(value, str):
        raise ValueError(_text_remedy(value.lstrip()))
    if isinstance(value, list | tuple):
        raise ValueError("is a list, but cloud-config is a mapping (merge its parts into one: `packages:`, `runcmd:`)")
    return value


def _text_remedy(text: str) -> str:
    for start, remedy in _TEXT_REMEDIES.items():
        if text.startswith(start) or text.lower().startswith(start):
            return remedy
    return "is text, but cloud-config is a mapping (write its `key: value` lines here, not the name of a file)"


def _host_name(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("is a number, and an address wherever a host is named (begin it with a letter, as in n1)")
    return value


HostPath = Annotated[Path, BeforeValidator(_plain_path)]
DiskGb = Annotated[int, Field(ge=1, le=65536, strict=True)]
MemoryMb = Annotated[int, Field(ge=64, le=16 * 1024 * 1024, strict=True)]
Address = Annotated[IPv4Address, BeforeValidator(_address)]
Subnet = Annotated[IPv4Network, BeforeValidator(_subnet)]
CloudConfig = Annotated[dict[str, JsonValue], BeforeValidator(_cloud_config)]
ClusterName = Annotated[str, StringConstraints(pattern=_LABEL, max_length=CLUSTER_NAME_MAX_LENGTH)]
NodeName = Annotated[str, StringConstraints(pattern=_LABEL, max_length=NODE_NAME_MAX_LENGTH)]
HostName = Annotated[NodeName, BeforeValidator(_host_name)]
NetworkName = Annotated[str, StringConstraints(pattern=_WORD, max_length=63)]
InterfaceName = Annotated[str, StringConstraints(pattern=_WORD, max_length=INTERFACE_NAME_MAX_LENGTH)]
SnapshotName = Annotated[str, StringConstraints(pattern=_WORD, max_length=100)]
CpuModel = Annotated[str, StringConstraints(pattern=_CPU, max_length=64)]
UserName = Annotated[str, StringConstraints(pattern=_USER, max_length=USER_NAME_MAX_LENGTH)]
RoleText = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=200)]
KernelCmdline = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=CMDLINE_MAX_LENGTH)]
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True)]
