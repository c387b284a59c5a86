"""The types of the tools' parameters: their descriptions for clients, and what they accept."""

from typing import Annotated, Literal

from pydantic import Field

from reconciler.frontends.mcp.values import AsNames, AsNumber, AsOneOrMoreNames, AsWords

_LONGEST_S = 86400
_LARGEST_COUNT = 2**32 - 1  # the kernel's type for netem, linux/pkt_sched.h
_COMMAND_MAX_LENGTH = 131072 - 1  # MAX_ARG_STRLEN on 4 KiB pages, linux/binfmts.h: the command is one argument of sh

Seconds = Annotated[float, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False), AsNumber]
Name = Annotated[str, Field(min_length=1, max_length=255)]

TopologyName = Annotated[
    str,
    Field(min_length=1, max_length=255, description="Name of its file in `topology_dir`, without `.yaml`."),
]
NamedTopology = Annotated[
    Annotated[str, Field(min_length=1, max_length=255)] | None,
    Field(description="Name of its file in `topology_dir`, without `.yaml`; not needed with `topology_yaml`."),
]
TopologyYaml = Annotated[
    str | None,
    Field(description="The topology itself, instead of that file."),
]
AllowRestart = Annotated[bool, Field(description="Allow the change to restart nodes.")]
AllowDataLoss = Annotated[bool, Field(description="Allow the change to delete disks.")]
PlanHash = Annotated[
    str | None,
    Field(description="From the plan: carry out exactly that, or answer CONFLICT."),
]
ClusterName = Annotated[str, Field(min_length=1, max_length=255, description="The cluster.")]
NodeName = Annotated[str, Field(min_length=1, max_length=255, description="Name of a node.")]
Nodes = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Literal["all"] | None,
    AsNames,
    Field(description="Default: every node."),
]
Command = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_COMMAND_MAX_LENGTH,
        description="Shell command line.",
    ),
]
Environment = Annotated[
    dict[str, str] | None,
    AsWords,
    Field(description="Environment variables for the command."),
]
StandardInput = Annotated[str | None, Field(description="Text for the command's standard input.")]
CommandTimeout = Annotated[
    Seconds,
    Field(description="Seconds; then it is killed (`timed_out`)."),
]
SshTimeout = Annotated[Seconds, Field(description="Seconds to wait for SSH.")]
ShutdownTimeout = Annotated[Seconds, Field(description="Seconds to wait for the nodes to power off.")]
WaitForSsh = Annotated[
    bool,
    Field(description="Wait for SSH logins."),
]
Start = Annotated[bool, Field(description="Boot the nodes; false only defines them.")]
StopModeName = Annotated[
    Literal["shutdown", "destroy"],
    Field(description="`shutdown` asks by ACPI and waits; `destroy` cuts the power."),
]
Group = Annotated[list[Name], AsNames, Field(max_length=10000)]
PartitionSide = Annotated[
    Group,
    Field(description="Nodes on one side; empty with `groups` or another `shape`."),
]
Targets = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Name,
    AsOneOrMoreNames,
    Field(description='"all" (others, later ones too), one node, or a list; empty with `include_host`: only the host.'),
]
DirectionName = Annotated[
    Literal["both", "to", "from"],
    Field(description="Packets from the first side `to` the second, those back (`from`), or `both`."),
]
Duration = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False), AsNumber] | None,
    Field(description="Seconds until it heals by itself. Default: never."),
]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False), AsNumber]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AsNumber]
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT), AsNumber]
FaultHandle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="The `handle_id` of a fault, or its name in the topology.",
    ),
]
SnapshotName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="Name of a snapshot.",
    ),
]
ArtifactId = Annotated[
    str,
    Field(
        min_length=6,
        max_length=64,
        description="ID, or its first six characters or more.",
    ),
]
SourcePath = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="Absolute path on the server's host."),
]
BuildTypeName = Annotated[
    Literal["raw_tree", "make_install", "rpm", "deb"],
    Field(description="How it was built."),
]
Metadata = Annotated[dict[str, str] | None, AsWords, Field(description="Labels to store with the artifact.")]
DestBase = Annotated[
    str,
    Field(min_length=2, max_length=1024, description="Directory on the nodes."),
]
InstallModeName = Annotated[
    Literal["modprobe_path", "make_install", "rpm", "deb"],
    Field(
        description="`modprobe_path` puts modules where modprobe finds them, `make_install` runs it in the tree, `rpm` "
        "and `deb` install its packages."
    ),
]
TransferTimeout = Annotated[Seconds, Field(description="Time limit in seconds for each node.")]
