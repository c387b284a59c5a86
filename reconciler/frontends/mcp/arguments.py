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
    Field(min_length=1, max_length=255, description="Name of a topology: its file in `topology_dir` without `.yaml`."),
]
TopologyYaml = Annotated[
    str | None,
    Field(description="The topology itself; then its name is for messages, and paths are relative to `topology_dir`."),
]
AllowRestart = Annotated[bool, Field(description="Allow the change to restart nodes.")]
AllowDataLoss = Annotated[bool, Field(description="Allow the change to delete disks.")]
PlanHash = Annotated[
    str | None,
    Field(description="Carry out exactly the plan with this hash from the preview, or answer CONFLICT."),
]
ClusterName = Annotated[str, Field(min_length=1, max_length=255, description="Name of a cluster, see `cluster_list`.")]
NodeName = Annotated[str, Field(min_length=1, max_length=255, description="Name of a node of the cluster.")]
Nodes = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Literal["all"] | None,
    AsNames,
    Field(description="Names of nodes, also separated by commas. Default: every node."),
]
Command = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_COMMAND_MAX_LENGTH,
        description="Shell command line, run by the login shell of the node's user, or by /bin/sh if that shell is "
        "fish, csh, nushell or elvish.",
    ),
]
Environment = Annotated[
    dict[str, str] | None,
    AsWords,
    Field(description="Environment variables for the command, in addition to those of the login."),
]
StandardInput = Annotated[str | None, Field(description="Text for the command's standard input. Default: empty.")]
CommandTimeout = Annotated[
    Seconds,
    Field(description="Seconds for connecting and running; then the command's processes are killed (`timed_out`)."),
]
SshTimeout = Annotated[Seconds, Field(description="Seconds from power-on to a successful SSH login.")]
ShutdownTimeout = Annotated[Seconds, Field(description="Seconds to wait for the nodes to power off.")]
WaitForSsh = Annotated[
    bool,
    Field(description="Answer when all these nodes accept SSH logins, or with SSH_TIMEOUT."),
]
Start = Annotated[bool, Field(description="Boot the nodes; false only defines them.")]
StopModeName = Annotated[
    Literal["shutdown", "destroy"],
    Field(description="`shutdown` sends an ACPI request and waits; `destroy` cuts the power, like pulling the plug."),
]
Group = Annotated[list[Name], AsNames, Field(max_length=10000)]
PartitionSide = Annotated[
    Group,
    Field(description="Nodes on one side; empty if `groups` or another `shape` says which nodes to separate."),
]
Targets = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Name,
    AsOneOrMoreNames,
    Field(
        description='"all" for every other node, including nodes added later; one node; or a list. An empty list with '
        "`include_host`: only the host."
    ),
]
DirectionName = Annotated[
    Literal["both", "to", "from"],
    Field(
        description="Which packets: `to` only those from the first (source) side to the second (target), `from` only "
        "those back, `both`."
    ),
]
Duration = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False), AsNumber] | None,
    Field(
        description="Seconds after which the fault heals by itself, even if no controller is running. Default: never."
    ),
]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False), AsNumber]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AsNumber]
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT), AsNumber]
FaultHandle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="The `handle_id` of a fault, or its name in the topology; `net_fault_list` shows both.",
    ),
]
SnapshotName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="Name of a snapshot, or its name in the topology's `snapshots`.",
    ),
]
ArtifactId = Annotated[
    str,
    Field(
        min_length=6,
        max_length=64,
        description="ID of a registered artifact, or at least its first six characters.",
    ),
]
SourcePath = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="Absolute path of the build tree on the server's host."),
]
BuildTypeName = Annotated[
    Literal["raw_tree", "make_install", "rpm", "deb"],
    Field(description="How the tree was built, and so how to install it; recorded, not checked."),
]
Metadata = Annotated[dict[str, str] | None, AsWords, Field(description="Labels to store with the artifact.")]
DestBase = Annotated[
    str,
    Field(min_length=2, max_length=1024, description="Directory on the nodes; each artifact has a directory in it."),
]
InstallModeName = Annotated[
    Literal["modprobe_path", "make_install", "rpm", "deb"],
    Field(
        description="`modprobe_path` puts modules where modprobe finds them; `make_install` runs `make install` in the "
        "tree; `rpm` and `deb` install the packages in the tree."
    ),
]
TransferTimeout = Annotated[Seconds, Field(description="Time limit in seconds for each node.")]
