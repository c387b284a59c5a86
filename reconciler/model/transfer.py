"""What the tools answer about files that were copied to and from nodes."""

from pydantic import Field

from reconciler.model.omission import Abridgeable


class NodeTransfer(Abridgeable):
    """What was copied to or from one node."""

    node_name: str = Field(description="Name of the node.")
    files: int = Field(description="How many.")
    directories: int = Field(description="How many.")
    symlinks: int = Field(description="How many symbolic links.")
    size_bytes: int = Field(description="Bytes of content.")
    duration_s: float = Field(description="In seconds.")
    left_out: tuple[str, ...] = Field(default=(), description="What was left out, and why.")


class TransferResult(Abridgeable):
    """A file or a tree is at its destination on every node, or, of a pull, on the host."""

    per_node: dict[str, NodeTransfer] = Field(description="By node: what was copied to or from it.")
