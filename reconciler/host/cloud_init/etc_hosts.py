"""The cluster's lines in a guest's /etc/hosts, between two marks; lines outside of them are the user's. Pure."""

import shlex
from collections.abc import Mapping
from ipaddress import IPv4Address

from reconciler.model.names import LOOPBACK_NAMES

_BEGIN, _END = "# BEGIN vmcluster", "# END vmcluster"

# Lines between the marks are replaced. A mark whose partner was deleted is removed alone, and the lines after it stay:
# ours come first and win. Versions before the marks wrote the whole file, and began it with their own comment.
_OTHERS = f"""awk '
NR == 1 && /^# The nodes of cluster .*; written again at every boot[.]$/ {{ exit }}
/^{_BEGIN}/ {{ printf "%s", held; held = ""; inside = 1; next }}
/^{_END}/ {{ held = ""; inside = 0; next }}
inside {{ held = held $0 "\\n"; next }}
{{ print }}
END {{ printf "%s", held }}' /etc/hosts"""

MERGE_HOSTS = f"""touch /etc/hosts && cp -aL /etc/hosts /etc/.hosts.vmcluster &&
{{ cat; {_OTHERS}
}} >/etc/.hosts.vmcluster && mv -f /etc/.hosts.vmcluster /etc/hosts"""
"""Shell commands that put the lines on their standard input into /etc/hosts in place of our earlier ones.

The file is replaced whole, with its mode and security context (`cp -a`): a power cut leaves the old or the new one.
"""


def render_hosts(nodes: Mapping[str, IPv4Address], cluster: str, fqdns: Mapping[str, str] | None = None) -> str:
    """The lines that all nodes of a cluster share, with their marks; the order of `nodes` does not matter.

    `fqdns` are the full names of the nodes that have one. They stand first, where `hostname -f` takes them from.
    """
    full = fqdns or {}
    by_address = sorted(nodes.items(), key=lambda node: (int(node[1]), node[0]))
    lines = [
        f"{_BEGIN}: the nodes of cluster {cluster}, written at every boot; your own lines stay if outside of this",
        *(f"{address} {' '.join(of_address)}" for address, of_address in LOOPBACK_NAMES.items()),
        *(f"{ip} {full[name]} {name}" if name in full else f"{ip} {name}" for name, ip in by_address),
        _END,
    ]
    return "\n".join(lines) + "\n"


def hosts_command(user: str) -> str:
    """A command for a guest's shell, logged in as `user`, that reads the lines from its standard input."""
    return MERGE_HOSTS if user == "root" else f"sudo -n sh -c {shlex.quote(MERGE_HOSTS)}"
