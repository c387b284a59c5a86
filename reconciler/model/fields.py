"""The types of single values in a topology or a configuration, each with its format.

Error messages say what to write instead. Relative paths and `~/` need `base_dir` and `home` in the validation context.
"""

import posixpath
import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, ValidationInfo

from reconciler.model.names import (
    CLUSTER_NAME_MAX_LENGTH,
    IMAGE_DIR,
    INTERFACE_NAME_MAX_LENGTH,
    LABEL_PATTERN,
    NODE_NAME_MAX_LENGTH,
    image_path,
    is_image_name,
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
_OTHER_FORMAT = "is in a format other than cloud-config (write what it does as cloud-config)"
_PACKED = "is compressed or encoded (write the `key: value` lines it contains)"
_TEXT_REMEDIES = {
    "#cloud-config-jsonp": _OTHER_FORMAT,
    "#part-handler": _OTHER_FORMAT,
    "#upstart-job": _OTHER_FORMAT,
    "#ps1": _OTHER_FORMAT,
    "{": "is JSON as text (remove the quotes or the `|`: its keys belong directly here)",
    "H4sI": _PACKED,
    "I2Nsb3VkL": _PACKED,
    "#cloud-config-archive": "is an archive, but cloud-config is a mapping (merge its parts into one)",
    "#cloud-config": "is cloud-config as text (remove the `|` and the first line: its keys belong directly here)",
    "#cloud-boothook": "is a boot hook (write its commands under `bootcmd`, which run at every boot)",
    "#!": f"is a script, but cloud-config is a mapping ({_INTO_RUNCMD})",
    "#include": "lists files to fetch (write their contents here)",
    "## template: jinja": "is a template (write it out, and put values of a single node in that node's `user_data`)",
    "content-type:": _MIME,
    "mime-version:": _MIME,
    "from nobody": _MIME,
}

PATTERN_WORDS = {
    _LABEL: "lower-case letters, digits and '-', starting and ending with a letter or digit",
    _WORD: "letters, digits, '_', '.' and '-', starting with a letter or digit",
    _CPU: "letters, digits, '_', '.' and '-'",
    _USER: "lower-case letters, digits, '_' and '-', not starting with a digit or '-'",
    _ONE_LINE: "one line of text without control characters",
}


def _plain_path(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str | Path):
        raise ValueError("is not a path (write it as text, in quotes if needed)")
    text = str(value)
    if not text or not text.isprintable():
        raise ValueError("is empty or contains control characters (write a plain file name)")
    if _URL.match(text):
        raise ValueError(f"{text[:60]!r} is a URL, but must be a file on this host (download it and write its path)")
    if text.startswith("$"):
        raise ValueError(f"{text[:60]!r} starts with a variable, which is not expanded (write `~/` or the full path)")
    base_dir: Path | None = (info.context or {}).get("base_dir")
    if text.startswith("~"):
        text = _in_home(text, (info.context or {}).get("home"))
    if not text.startswith("/") and base_dir is None:
        raise ValueError(f"{text!r} is a relative path (write an absolute path, starting with '/')")
    return posixpath.normpath(posixpath.join(base_dir or "/", re.sub("^//+", "/", text)))


def _image(value: Any, info: ValidationInfo) -> str:
    """A path; a name stands for a file in the directory for images."""
    if isinstance(value, str) and is_image_name(value):
        return str(image_path((info.context or {}).get("image_dir") or IMAGE_DIR, value))
    return _plain_path(value, info)


def _in_home(text: str, home: Path | None) -> str:
    if home is None or not (text == "~" or text.startswith("~/")):
        raise ValueError(f"{text!r} starts with a home directory that is not known (write the full path)")
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
    """Reject the other forms of user data that cloud-init accepts, and say what to write instead."""
    if isinstance(value, str):
        raise ValueError(_text_remedy(value.lstrip()))
    if isinstance(value, list | tuple):
        raise ValueError("is a list, but cloud-config is a mapping (merge its parts into one: `packages:`, `runcmd:`)")
    return value


def _text_remedy(text: str) -> str:
    for start, remedy in _TEXT_REMEDIES.items():
        if text.startswith(start) or text.lower().startswith(start):
            return remedy
    return "is text, but cloud-config is a mapping (write its `key: value` lines here, not a file name)"


def _host_name(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("is a number, which would be read as an address, not a host name (start with a letter: n1)")
    return value


HostPath = Annotated[Path, BeforeValidator(_plain_path)]
BaseImage = Annotated[Path, BeforeValidator(_image)]
DiskGb = Annotated[int, Field(ge=1, le=65536, strict=True)]
MemoryMb = Annotated[int, Field(ge=64, le=16 * 1024 * 1024, strict=True)]
Address = Annotated[IPv4Address, BeforeValidator(_address)]
Subnet = Annotated[IPv4Network, BeforeValidator(_subnet)]
CloudConfig = Annotated[dict[str, JsonValue], BeforeValidator(_cloud_config)]
ClusterName = Annotated[str, StringConstraints(pattern=_LABEL, max_length=CLUSTER_NAME_MAX_LENGTH)]
NodeName = Annotated[str, StringConstraints(pattern=_LABEL, max_length=NODE_NAME_MAX_LENGTH)]
HostName = Annotated[NodeName, BeforeValidator(_host_name)]
RoleText = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=200)]
MemberName = Annotated[str, StringConstraints(pattern=_WORD, max_length=63)]
HostLabels = dict[Annotated[str, StringConstraints(pattern=_WORD, max_length=63)], RoleText]
NetworkName = Annotated[str, StringConstraints(pattern=_WORD, max_length=63)]
InterfaceName = Annotated[str, StringConstraints(pattern=_WORD, max_length=INTERFACE_NAME_MAX_LENGTH)]
SnapshotName = Annotated[str, StringConstraints(pattern=_WORD, max_length=100)]
CpuModel = Annotated[str, StringConstraints(pattern=_CPU, max_length=64)]
UserName = Annotated[str, StringConstraints(pattern=_USER, max_length=USER_NAME_MAX_LENGTH)]
KernelCmdline = Annotated[str, StringConstraints(pattern=_ONE_LINE, max_length=CMDLINE_MAX_LENGTH)]
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True)]
