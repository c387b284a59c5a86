"""What the tools return about files that were copied to and from nodes."""

from pydantic import Field

from reconciler.model.abridging import Abridgeable


class NodeTransfer(Abridgeable):
    """What was copied to or from one node."""

    node_name: str = Field(description="Name of the node.")
    files: int = Field(description="Number of files.")
    directories: int = Field(description="Number of directories.")
    symlinks: int = Field(description="Number of symbolic links.")
    size_bytes: int = Field(description="Bytes of content.")
    duration_s: float = Field(description="In seconds.")
    left_out: tuple[str, ...] = Field(default=(), description="What was not copied, and why.")


class TransferResult(Abridgeable):
    """A file or a tree is at its destination: on every node, or, after a pull, on the host."""

    per_node: dict[str, NodeTransfer] = Field(description="By node: what was copied to or from it.")
