"""Configuration: environment beats file beats default. Contract, section 3.

An empty environment variable counts as not set. Paths are absolute or begin with `~/`: a relative one would name a
different store for each working directory.
"""

import os
import re
import socket
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError

from reconciler.error_codes import ErrorCode
from reconciler.errors import ConfigurationInvalid
from reconciler.files.configuration_files import CONFIG_VARIABLE, DEFAULT_CONFIG_PATH, user_path
from reconciler.model.base import Frozen
from reconciler.model.choices import Confirmation, Toolset
from reconciler.model.fields import PATTERN_WORDS, HostLabels, HostPath, MemberName, UserName
from reconciler.model.links import FirewallChoice
from reconciler.model.names import IMAGE_DIR
from reconciler.source.composer import parse_source
from reconciler.source.problems import Finding, in_order, problem_report, unquoted
from reconciler.source.reading import SourceUnreadable, read_source_file
from reconciler.source.tree import SourceDocument, SourceNode
from reconciler.source.validation_messages import explain_validation
from reconciler.store.etcd.etcd_address import SCHEME, EtcdAddress, EtcdCredentials

_PREFIX = "VMCLUSTER_"
_NO_CONFIGURATION = "not a configuration of vmcluster: it has none of its keys (correct the file)"

_URI = r"^[a-z][a-z0-9.-]*(\+[a-z0-9]+)?://[^\x00-\x20\x7f]*$"
_URI_PARTS = re.compile(r"[a-z][a-z0-9.-]*(?:\+([a-z0-9]+))?://([^/?#]*)([^?#]*)(.*)")
_LOCAL_QUERY = re.compile(r"(\?(socket|mode)=[^&#]+(&(socket|mode)=[^&#]+)*)?")


class LogLevel(StrEnum):
    """The log level; lower case is accepted too."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _list_of_paths(value: Any) -> Any:
    """Text is as in the environment: paths separated by colons."""
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def _labels(value: Any) -> Any:
    """Text is as in the environment: `KEY=VALUE`, separated by commas."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part]
    if wrong := next((key for key, equals, _ in pairs if not equals), None):
        raise ValueError(f"{wrong!r} is not a label (write KEY=VALUE,KEY=VALUE)")
    return {key.strip(): of.strip() for key, _, of in pairs}


def _words(value: Any) -> Any:
    """Text is as in the environment: words separated by commas, or by colons as lists of paths are."""
    return re.findall(r"[^\s,:]+", value.lower()) if isinstance(value, str) else value


Labels = Annotated[HostLabels, BeforeValidator(_labels)]
Directories = Annotated[tuple[HostPath, ...] | None, BeforeValidator(_list_of_paths)]


def _of_this_host(uri: str) -> str:
    """The URI, if it is that of this host's system libvirt: vmcluster itself creates disks, taps and firewall rules
    here.
    """
    transport, server, path, query = _URI_PARTS.fullmatch(uri).groups()  # type: ignore[union-attr]  # checked before
    if server or transport not in {None, "unix"}:
        raise ValueError(
            f"{uri!r} is a libvirt of another host, but disks, taps and firewall rules are created on this one only "
            "(run vmcluster on that host, with qemu:///system)"
        )
    if path == "/session":
        raise ValueError(f"{uri!r} is a user's own libvirt, which may not create bridges and taps (use qemu:///system)")
    if not uri.startswith(("qemu:", "qemu+unix:")) or path != "/system" or not _LOCAL_QUERY.fullmatch(query or ""):
        raise ValueError(f"{uri!r} is not the system's libvirt for QEMU (use qemu:///system)")
    return uri


def _of_etcd(url: str) -> str:
    EtcdAddress.parse(url)
    return url


class Settings(Frozen):
    """The configuration of vmcluster.

    Each key can also be given in the environment, as `VMCLUSTER_` and the key in upper case.
    """

    topology_dir: HostPath = Field(
        default=Path("/etc/vmcluster/topologies"), description="Directory in which topologies are found by name."
    )
    overlay_dir: HostPath = Field(
        default=Path("/var/lib/vmcluster/overlays"),
        description="Directory for root disks, seeds and host keys, unless a topology names one.",
    )
    template_dir: HostPath = Field(
        default=Path("/var/lib/vmcluster/templates"),
        description="Directory for templates, from which nodes start without booting; the clusters of a host share it.",
    )
    image_dir: HostPath = Field(
        default=IMAGE_DIR,
        description="Directory for disk images: those that topologies know by name, and those that hosts of one store "
        "fetch from each other.",
    )
    artifact_registry: HostPath = Field(
        default=Path("/var/lib/vmcluster/artifacts/registry.json"),
        description="File that lists the registered artifacts.",
    )
    artifact_store_dir: HostPath = Field(
        default=Path("/var/lib/vmcluster/artifacts/trees"), description="Directory for artifact trees."
    )
    fault_registry: HostPath = Field(
        default=Path("/var/lib/vmcluster/faults/registry.json"),
        description="File to which active faults are exported for other programs; never read back.",
    )
    ssh_key_path: HostPath = Field(
        default=Path("/etc/vmcluster/ssh/vmcluster_id_ed25519"),
        description="Private SSH key for logging in to nodes, unless a topology names one.",
    )
    ssh_user: UserName = Field(default="root", description="User to log in as, unless a topology names one.")
    libvirt_uri: Annotated[str, StringConstraints(pattern=_URI), AfterValidator(_of_this_host)] = Field(
        default="qemu:///system",
        description="Connection URI of libvirt: the system libvirt of this host, through any socket.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        default=LogLevel.INFO, description="Log level on stderr."
    )
    firewall: Annotated[FirewallChoice, BeforeValidator(_lower)] = Field(
        default=FirewallChoice.AUTO,
        description="Firewall that cuts links: `auto`, `nftables` or `iptables`; `auto` uses nftables if it works.",
    )
    resync_s: float = Field(
        default=30.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="How often `vmcluster watch` reconciles every cluster even without an event, in seconds.",
    )
    console_log_mb: int = Field(
        default=64,
        ge=1,
        le=1_048_576,
        description="Maximum size in MiB of the log of a node's serial console, unless virtlogd keeps it shorter; "
        "older output is cut off when the cluster is next observed.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port on which `vmcluster watch` serves Prometheus metrics on the loopback interface; 0 serves "
        "none.",
    )
    state_dir: HostPath = Field(
        default=Path("/var/lib/vmcluster/state"), description="Directory for desired-state records."
    )
    store: Annotated[str, AfterValidator(_of_etcd)] | None = Field(
        default=None,
        description="The etcd that keeps desired-state records for several hosts, such as "
        "`etcd://USER@HOST:2379,HOST:2379`. Unset: a file in `state_dir`.",
    )
    store_ca_file: HostPath | None = Field(
        default=None,
        description="CA certificates that the etcd of `store` is verified with; required unless it is on this host.",
    )
    store_cert_file: HostPath | None = Field(default=None, description="Client certificate for the etcd of `store`.")
    store_key_file: HostPath | None = Field(default=None, description="The private key of `store_cert_file`.")
    store_password_file: HostPath | None = Field(
        default=None, description="File with the password of the user in `store`; no other user may read it."
    )
    host_name: MemberName | None = Field(
        default=None,
        description="Name of this host among those that share the etcd of `store`. Unset: the first part of the "
        "system's host name.",
    )
    host_address: IPv4Address | IPv6Address | None = Field(
        default=None,
        description="Address of this host at which the others reach it for the networks of clusters over several "
        "hosts. Unset: no such cluster has nodes here.",
    )
    host_labels: Labels = Field(
        default={},
        description="Labels of this host, which `placement` of a topology can ask for; in the environment "
        "`KEY=VALUE,KEY=VALUE`.",
    )
    host_image_port: int = Field(
        default=4790,
        ge=0,
        le=65_535,
        description="TCP port at `host_address` on which `vmcluster watch` serves disk images to the other hosts of "
        "the store; 0 serves none, and fetches none.",
    )
    host_read_roots: Directories = Field(
        default=None,
        description="Directories from which builds, kernels and files may be read. Unset: for tools the client's "
        "roots or otherwise the server's directory, and `scratch` in `state_dir`; for commands every "
        "directory.",
    )
    host_write_roots: Directories = Field(
        default=None, description="Directories to which copies from nodes may be written. Unset: as `host_read_roots`."
    )
    disk_roots: Directories = Field(
        default=None,
        description="Directories that may hold disks, images and `overlay_dir` of topologies. Unset: every "
        "directory; for tools, existing disks only below `overlay_dir`, `image_dir` and "
        "`/var/lib/vmcluster/disks`.",
    )
    mcp_read_only: bool = Field(
        default=False, description="Whether the MCP server offers only tools that change nothing."
    )
    mcp_toolsets: Annotated[tuple[Toolset, ...] | None, BeforeValidator(_words)] = Field(
        default=None,
        min_length=1,
        description="The tools that the MCP server offers: `lifecycle`, `exec`, `snapshot`, `artifact`, `fault`, "
        "`observe`; in the environment separated by commas. Unset: all.",
    )
    mcp_confirm: Annotated[Confirmation, BeforeValidator(_lower)] = Field(
        default=Confirmation.NEVER,
        description="`destructive`: the MCP server asks the client's user before each call of a destructive tool, and "
        "refuses it where the client cannot ask. `never`: it does not ask.",
    )

    @property
    def etcd(self) -> tuple[EtcdAddress, EtcdCredentials] | None:
        """The etcd of `store` and how to connect to it; None for the store in `state_dir`."""
        if self.store is None:
            return None
        files = (self.store_ca_file, self.store_cert_file, self.store_key_file, self.store_password_file)
        return EtcdAddress.parse(self.store), EtcdCredentials(*files)

    @property
    def own_host(self) -> str:
        """The name of this host in an etcd; empty for the store in `state_dir`."""
        if self.store is None:
            return ""
        if self.host_name is not None:
            return self.host_name
        return socket.gethostname().partition(".")[0]

    @property
    def kept_directories(self) -> tuple[Path, ...]:
        """The directories in which vmcluster keeps files: all that it is told of."""
        own = (self.state_dir, self.overlay_dir, self.artifact_store_dir)
        return (*own, self.topology_dir, self.template_dir, self.image_dir)

    @property
    def kept_files(self) -> tuple[Path, ...]:
        """The single files that it keeps or relies on."""
        of_store = (self.store_ca_file, self.store_cert_file, self.store_key_file, self.store_password_file)
        own = (self.artifact_registry, self.fault_registry, self.ssh_key_path)
        return (*own, *(path for path in of_store if path is not None))

    def with_store(self, place: str) -> Self:
        """The same with another store: the address of an etcd, or a directory. Raises `ConfigurationInvalid`."""
        chosen = {"store": place} if place.startswith(SCHEME) else {"store": None, "state_dir": Path(place)}
        settings = self.model_copy(update=chosen)
        settings.require_usable_store()
        return settings

    def require_usable_store(self) -> None:
        """Raise `ConfigurationInvalid` for a store that cannot be spoken to safely."""
        if self.etcd and (problem := self.etcd[0].problem(self.etcd[1])):
            raise ConfigurationInvalid(f"store: {problem}", hint="correct the configuration and try again")

    def as_environment(self) -> dict[str, str]:
        """The environment variables that give a child process the same settings."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {f"{_PREFIX}{key.upper()}": _in_environment(value) for key, value in values.items()}


def _in_environment(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={of}" for key, of in value.items())
    return os.pathsep.join(value) if isinstance(value, list) else str(value)


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    default_path: Path = DEFAULT_CONFIG_PATH,
    user_file: Path | None = None,
) -> Settings:
    """The settings for this process, from `environ` (default: its own environment) and the first readable file.

    The file is `VMCLUSTER_CONFIG` if that is set, and must then be readable; otherwise `default_path` or `user_file`,
    if there is one. Unknown variables are ignored. Raises `ConfigurationInvalid` with every problem of the file and of
    the environment.
    """
    environment = {key: value for key, value in (os.environ if environ is None else environ).items() if value}
    context = {"home": _home(environment)}
    messages: list[str] = []
    from_file = _file_values(environment, default_path, user_file, context, messages)
    from_environment = _environment_values(environment, context, messages)
    if messages:
        raise ConfigurationInvalid("\n".join(messages), hint="correct the configuration and try again")
    settings = Settings.model_validate({**from_file, **from_environment}, context=context)
    settings.require_usable_store()
    return settings


def _file_values(
    environment: Mapping[str, str],
    default_path: Path,
    user_file: Path | None,
    context: Mapping[str, Any],
    messages: list[str],
) -> dict[str, Any]:
    path, content = _read_first(environment, default_path, user_file)
    if path is None:
        return {}
    document = parse_source(content)
    findings = _findings(document, context) if document.root else []
    problems = in_order([*document.problems, *(document.problem(finding) for finding in findings)])
    if problems:
        messages.append(
            problem_report(str(path), problems if _is_ours(document) else unquoted(problems, _NO_CONFIGURATION))
        )
    value = document.root.value if document.root else None
    return value if isinstance(value, dict) else {}


def _is_ours(document: SourceDocument) -> bool:
    """Whether it is a configuration of vmcluster; errors quote nothing of any other file that the environment names."""
    value = document.root.value if document.root else None
    return isinstance(value, dict) and not Settings.model_fields.keys().isdisjoint(value)


def _read_first(
    environment: Mapping[str, str], default_path: Path, user_file: Path | None
) -> tuple[Path | None, bytes]:
    if chosen := environment.get(CONFIG_VARIABLE):
        try:
            return Path(chosen), read_source_file(Path(chosen))
        except SourceUnreadable as error:
            message = f"cannot read the configuration file {chosen}: {error}"
            raise ConfigurationInvalid(message, hint=f"correct or unset {CONFIG_VARIABLE}") from error
    for path in (default_path, user_file or user_path()):
        try:
            return path, read_source_file(path)
        except SourceUnreadable:
            continue  # the contract: when not readable there, the next place counts
    return None, b""


def _environment_values(
    environment: Mapping[str, str], context: Mapping[str, Any], messages: list[str]
) -> dict[str, Any]:
    variables = {key: f"{_PREFIX}{key.upper()}" for key in Settings.model_fields}
    values = {key: environment[variable] for key, variable in variables.items() if variable in environment}
    document = SourceDocument(SourceNode(values, SourceDocument(None).mark(())))
    messages.extend(
        f"environment variable {variables[str(finding.location[0])]}: {finding.message}"
        for finding in _findings(document, context)
    )
    return values


def _findings(document: SourceDocument, context: Mapping[str, Any]) -> list[Finding]:
    try:
        Settings.model_validate(document.root and document.root.value, context=dict(context))
    except ValidationError as error:
        return explain_validation(error, Settings, document, _PATTERN_WORDS, ErrorCode.CONFIGURATION_INVALID)
    return []


def _home(environment: Mapping[str, str]) -> Path | None:
    try:
        return Path(environment["HOME"]) if "HOME" in environment else Path.home()
    except RuntimeError:
        return None


_PATTERN_WORDS = {
    **PATTERN_WORDS,
    _URI: "a libvirt connection URI such as qemu:///system",
}
