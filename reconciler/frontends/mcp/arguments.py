"""The types of the tools' parameters: what a client reads about them and what is refused."""

from typing import Annotated, Literal

from pydantic import Field

from reconciler.frontends.mcp.values import AsNames, AsNumber, AsOneOrMoreNames, AsWords

_LONGEST_S = 86400
_LARGEST_COUNT = 2**32 - 1  # what netem counts in, linux/pkt_sched.h
_COMMAND_MAX_LENGTH = 131072 - 1  # MAX_ARG_STRLEN on 4 KiB pages, linux/binfmts.h: the command is one argument of sh

Seconds = Annotated[float, AsNumber, Field(gt=0, le=_LONGEST_S, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=255)]

TopologyName = Annotated[
    str,
    Field(min_length=1, max_length=255, description="Name of a topology: its file in `topology_dir` without `.yaml`."),
]
ClusterName = Annotated[
    str, Field(min_length=1, max_length=255, description="Name of a defined cluster; `cluster_list` knows them.")
]
NodeName = Annotated[str, Field(min_length=1, max_length=255, description="Name of a node of the cluster.")]
Nodes = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Literal["all"] | None,
    AsNames,
    Field(description='Names of nodes, as a list or with commas; left out, null, empty or "all": every node.'),
]
Command = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_COMMAND_MAX_LENGTH,
        description="Shell command line, run by the login shell of the node's user; where that is fish, by /bin/sh.",
    ),
]
Environment = Annotated[
    dict[str, str] | None,
    AsWords,
    Field(description="Environment variables for the command, beside those of the login."),
]
StandardInput = Annotated[
    str | None, Field(description="Text for the command's standard input; left out: it reads end of file at once.")
]
CommandTimeout = Annotated[
    Seconds,
    Field(description="Seconds for connecting and running; then the command's processes are ended (`timed_out`)."),
]
SshTimeout = Annotated[
    Seconds, Field(description="Seconds that nodes get from being powered on to a successful SSH login.")
]
ShutdownTimeout = Annotated[Seconds, Field(description="Seconds that nodes get to be off.")]
WaitForSsh = Annotated[
    bool, Field(description="Answer only when every node concerned takes SSH logins; else an error, `SSH_TIMEOUT`.")
]
Start = Annotated[bool, Field(description="Power the nodes on; false only defines them.")]
StopModeName = Annotated[
    Literal["shutdown", "destroy"],
    Field(description="`shutdown` asks by ACPI and waits; `destroy` cuts the power, as pulling the plug does."),
]
Group = Annotated[list[Name], AsNames, Field(max_length=10000)]
PartitionSide = Annotated[
    Group, Field(description="Names of nodes on one side; empty where `groups` or another `shape` says who is parted.")
]
Targets = Annotated[
    Annotated[list[Name], Field(max_length=10000)] | Name,
    AsOneOrMoreNames,
    Field(
        description='"all" for every other node, also later ones; one node; or a list. An empty list with '
        "`include_host`: only the host."
    ),
]
DirectionName = Annotated[
    Literal["both", "to", "from"],
    Field(
        description="Whose packets: `to` only those from the first (source) side to the second (target), `from` only "
        "those back, `both`."
    ),
]
Duration = Annotated[
    Annotated[float, AsNumber, Field(gt=0, allow_inf_nan=False)] | None,
    Field(description="Seconds after which the fault heals by itself, even when nobody watches; left out: never."),
]
Milliseconds = Annotated[float, AsNumber, Field(ge=0, allow_inf_nan=False)]
Percentage = Annotated[float, AsNumber, Field(ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, AsNumber, Field(ge=0, le=_LARGEST_COUNT)]
FaultHandle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="The `handle_id` of a fault, or the name that the topology has for one; `net_fault_list` has both.",
    ),
]
SnapshotName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="Name of a snapshot, or the name that the topology's `snapshots` has for one.",
    ),
]
ArtifactId = Annotated[
    str,
    Field(
        min_length=6,
        max_length=64,
        description="Id of a registered artifact, or at least the first six characters of it.",
    ),
]
SourcePath = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="Absolute path of the built tree on the server's host."),
]
BuildTypeName = Annotated[
    Literal["raw_tree", "make_install", "rpm", "deb"],
    Field(description="How the tree was built, which says how to install it; recorded, not checked."),
]
Metadata = Annotated[dict[str, str] | None, AsWords, Field(description="Words of your own to keep with the artifact.")]
DestBase = Annotated[
    str,
    Field(min_length=2, max_length=1024, description="Directory on the nodes that holds one directory per artifact."),
]
InstallModeName = Annotated[
    Literal["modprobe_path", "make_install", "rpm", "deb"],
    Field(
        description="`modprobe_path`: modules where modprobe finds them; `make_install`: `make install` in the tree; "
        "`rpm`, `deb`: the packages in the tree."
    ),
]
TransferTimeout = Annotated[Seconds, Field(description="Seconds that each node gets.")]
