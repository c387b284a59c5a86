"""The logins of nodes in the forms of an Ansible inventory, with a group for each cluster and each role."""

import ast
import re
import shlex
from collections import defaultdict
from typing import Any

from reconciler.guest.openssh import login_options
from reconciler.usecases.login_names import NamedLogin, NamedLogins

_NOT_IN_GROUPS = re.compile(r"\W", re.ASCII)
"""What Ansible warns of in the name of a group."""


def inventory_as_data(logins: NamedLogins) -> dict[str, Any]:
    """What an inventory script answers to `--list`."""
    groups = {group: {"hosts": members} for group, members in _groups(logins).items()}
    return {"_meta": {"hostvars": {of.names[0]: host_variables(of) for of in logins}}, **groups}


def inventory_as_yaml(logins: NamedLogins) -> dict[str, Any]:
    """The document of an inventory in YAML."""
    groups: dict[str, Any] = {group: {"hosts": dict.fromkeys(members)} for group, members in _groups(logins).items()}
    return {"all": {"hosts": {of.names[0]: host_variables(of) for of in logins}, "children": groups}}


def inventory_as_ini(logins: NamedLogins) -> str:
    """The text of an inventory in INI."""
    lines = [" ".join([of.names[0], *_assignments(of)]) for of in logins]
    for group, members in _groups(logins).items():
        lines += ["", f"[{group}]", *members]
    return "".join(f"{line}\n" for line in lines)


def variables_of(logins: NamedLogins, host: str) -> dict[str, Any]:
    """What an inventory script answers to `--host`: nothing for a host that it does not know."""
    return next((host_variables(of) for of in logins if of.names[0] == host), {})


def host_variables(login: NamedLogin) -> dict[str, Any]:
    """How Ansible logs in to a node; as for `vmcluster ssh`, nothing of the user's own SSH set-up counts."""
    address = login.address
    options = [
        word
        for name, value in login_options(address, login.known_hosts_path).items()
        for word in ("-o", f"{name}={value}")
    ]
    return {
        "ansible_host": address.host,
        "ansible_port": address.port,
        "ansible_user": address.user,
        "ansible_ssh_private_key_file": str(address.key_path),
        "ansible_ssh_common_args": shlex.join(["-F", "none", *options]),
        "vmcluster_cluster": address.cluster,
        "vmcluster_node": address.node,
        "vmcluster_role": login.role,
    }


def _groups(logins: NamedLogins) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for of in logins:
        groups[_group("cluster", of.address.cluster)].append(of.names[0])
        if of.role:
            groups[_group("role", of.role)].append(of.names[0])
    return dict(groups)


def _group(kind: str, name: str) -> str:
    return f"{kind}_{_NOT_IN_GROUPS.sub('_', name)}"


def _assignments(login: NamedLogin) -> list[str]:
    """Words as a shell splits them; Ansible reads a value that looks like one of Python's as that."""
    return [
        shlex.quote(f"{name}={value!r}" if _is_literal(str(value)) else f"{name}={value}")
        for name, value in host_variables(login).items()
    ]


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True
