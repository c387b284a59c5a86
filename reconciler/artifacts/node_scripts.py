"""The scripts that are run on nodes, in POSIX shell, and parsers of their output; pure.

Everything that varies is an argument or standard input, never part of a script.
"""

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.errors import InvalidArgument

DEFAULT_BASE = "/opt/vmcluster/artifacts"
RECORD_PATH = "/var/lib/vmcluster/installed"
"""Records what is installed: the artifact's id, the path of its tree, and the rest as JSON, one per line.

During an installation `-` replaces the id, so that half an installation counts as none and can still be undone.
"""

_ID = re.compile(r"[0-9a-f]{64}")

PREPARE = """\
set -eu
umask 022
base=$1 id=$2 force=$3
command -v rsync >/dev/null || { echo 'rsync is not installed on the node' >&2; exit 127; }
if [ "$force" = no ] && [ -f "$base/.complete/$id" ] && [ -d "$base/$id" ]; then echo complete; exit 0; fi
mkdir -p -- "$base/.complete" "$base/$id"
rm -f -- "$base/.complete/$id"
sync -f "$base/.complete" 2>/dev/null || sync
echo absent
ls -1t -- "$base/.complete"
"""
"""Prepares a tree's directory: prints whether the tree is complete, else which others are, newest first."""

COMPLETE = """\
set -eu
base=$1 id=$2
sync -f "$base/$id" 2>/dev/null || sync
echo "$id" > "$base/.complete/.$id.new"
mv -f -- "$base/.complete/.$id.new" "$base/.complete/$id"
sync -f "$base/.complete" 2>/dev/null || sync
"""
"""The mark of a complete tree is beside it, and is written when everything in the tree is on disk."""

TOOLS = ("depmod", "dpkg", "make", "rpm")

RECALL = f"""\
for tool in {" ".join(TOOLS)}; do command -v "$tool" >/dev/null || printf '%s ' "$tool"; done
echo
if [ -f {RECORD_PATH} ]; then cat {RECORD_PATH}; fi
"""
"""Prints a line with those of the tools that the node lacks, then the record of what is installed."""

EXAMINE = (
    """\
base=$1 id=$2
if [ -f "$base/.complete/$id" ] && [ -d "$base/$id" ]; then echo complete; else echo absent; fi
release=$(uname -r)
echo "$release"
sample=$(find "/lib/modules/$release/kernel" -type f -name '*.ko*' 2>/dev/null | head -n 1)
if [ -n "$sample" ]; then echo "$(modinfo -F vermagic "$sample")"; else echo; fi
"""
    + RECALL
)
"""Prints, one per line, whether a tree exists, which kernel runs, and the version magic of its own modules; then the
output of `RECALL`."""

_BEGIN = """\
set -eu
umask 022
tree=$1 release=$2
"""

_NOTE = f"""\
mkdir -p {posixpath.dirname(RECORD_PATH)}
printf %s "$3" > {RECORD_PATH}.new
sync -f {RECORD_PATH}.new 2>/dev/null || sync
mv -f {RECORD_PATH}.new {RECORD_PATH}
sync -f {RECORD_PATH} 2>/dev/null || sync
"""
"""The record is on disk before anything is changed: a power cut leaves nothing that no record mentions."""

_EVERY_PLACE = "/lib/modules/*/extra/vmcluster"

MODPROBE_PATH = (
    _BEGIN
    + """\
staged=/lib/modules/.vmcluster.new
place=/lib/modules/$release/extra/vmcluster
rm -rf -- "$staged"
mkdir -p -- "$staged"
rsync -rt --chmod=D0755,F0644 --from0 --files-from=- -- "$tree/" "$staged/"
"""
    + _NOTE
    + f"""\
mkdir -p "/lib/modules/$release/extra"
rm -rf {_EVERY_PLACE}
mv -- "$staged" "$place"
mkdir -p /etc/depmod.d
echo 'search extra/vmcluster updates extra built-in' > /etc/depmod.d/vmcluster.conf
find "$place" -type f -name '*.ko*' -print0
printf '\\0\\0'
depmod "$release" 2>&1
"""
)
"""depmod.d(5): of two modules with the same name modprobe uses the one that `search` names first."""

_NEW_MODULES = """\
find /lib/modules -type f -name '*.ko*' -cnewer "$stamp" -print0
printf '\\0'
%s
printf '\\0'
if [ -n "$(find /lib/modules -type f -name '*.ko*' -cnewer "$stamp" | head -n 1)" ]; then depmod -a 2>&1; fi
rm -f -- "$stamp"
"""

_STAMP = "stamp=/var/lib/vmcluster/.stamp; rm -f $stamp; touch $stamp; sleep 0.1\n"

MAKE_INSTALL = _BEGIN + _NOTE + _STAMP + 'cd -- "$tree"\nmake install >&2\n' + _NEW_MODULES % ":"

DEB = (
    _BEGIN
    + _NOTE
    + _STAMP
    + 'cd -- "$tree"\nlist=/var/lib/vmcluster/.packages; cat > $list\n'
    + "DEBIAN_FRONTEND=noninteractive xargs -0 dpkg --force-confdef --force-confold -i < $list >&2\n"
    + _NEW_MODULES % "xargs -0 -n 1 dpkg-deb -W --showformat='${Package}\\n' < $list | tr '\\n' '\\0'"
)

RPM = (
    _BEGIN
    + _NOTE
    + _STAMP
    + 'cd -- "$tree"\nlist=/var/lib/vmcluster/.packages; cat > $list\n'
    + "xargs -0 rpm -U --oldpackage --replacepkgs < $list >&2\n"
    + _NEW_MODULES % "xargs -0 rpm -qp --queryformat '%{NAME}\\n' < $list | tr '\\n' '\\0'"
)

REMEMBER = f"set -eu\numask 022\ncat > {RECORD_PATH}.new\nsync\nmv -f {RECORD_PATH}.new {RECORD_PATH}\nsync\n"

FORGET = f"rm -f {RECORD_PATH}\n"

UNINSTALL_MODPROBE_PATH = (
    "set -eu\n"
    f"rm -rf /lib/modules/.vmcluster.new {_EVERY_PLACE}\nrm -f /etc/depmod.d/vmcluster.conf\n"
    "printf '\\0\\0'\n"
    'if command -v depmod >/dev/null && [ -d "/lib/modules/$2" ]; then depmod "$2" 2>&1; fi\n' + FORGET
)
_RENEW_INDEX = (
    "printf '\\0\\0'\n"
    'if command -v depmod >/dev/null && [ -d "/lib/modules/$(uname -r)" ]; then depmod -a 2>&1; fi\n' + FORGET
)
UNINSTALL_MAKE = 'set -eu\ncd -- "$1"\nmake uninstall >&2\n' + _RENEW_INDEX
UNINSTALL_DEB = "set -eu\nxargs -0 dpkg -r >&2\n" + _RENEW_INDEX
UNINSTALL_RPM = (
    """\
set -eu
xargs -0 -n 1 sh -c 'if rpm -q -- "$1" >/dev/null 2>&1; then printf "%s\\0" "$1"; fi' sh | xargs -0 -r rpm -e >&2
"""
    + _RENEW_INDEX
)
"""Unlike dpkg, rpm fails if one of them is already gone, as after an interrupted attempt."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation printed: the modules and packages that it installed, and depmod's output."""

    module_paths: tuple[str, ...]
    packages: tuple[str, ...]
    depmod_output: str


def render_call(script: str, arguments: Sequence[str], *, user: str) -> str:
    """The command line that runs a script as root."""
    become_root = [] if user == "root" else ["sudo", "-n"]
    return shlex.join([*become_root, "sh", "-c", script, "vmcluster", *arguments])


def parse_installed(stdout: str) -> Installed:
    """Parse two lists, each item followed by NUL, each list by another NUL; the rest is text."""
    paths, rest = _take_list(stdout)
    packages, depmod_output = _take_list(rest)
    return Installed(paths, packages, depmod_output.strip())


def valid_ids(lines: Sequence[str]) -> list[str]:
    """The lines that are ids of artifacts."""
    return [line for line in lines if _ID.fullmatch(line)]


def require_base(dest_base: str) -> str:
    """The directory for trees on nodes, without trailing slash. Raises `InvalidArgument` if it is unsuitable."""
    words = dest_base.split("/")
    if not dest_base.startswith("/") or ".." in words or not any(words) or not dest_base.isprintable():
        raise InvalidArgument(
            f"dest_base {dest_base!r} must be an absolute path other than /, without `..` and control characters"
        )
    return "/" + "/".join(word for word in words if word not in ("", "."))


def _take_list(text: str) -> tuple[tuple[str, ...], str]:
    items = text.split("\0")
    end = items.index("") if "" in items else len(items)
    return tuple(items[:end]), "\0".join(items[end + 1 :])
