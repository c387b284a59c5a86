"""What the tools answer about files that were copied to and from nodes."""

from pydantic import Field

from reconciler.model.omission import Abridgeable


class NodeTransfer(Abridgeable):
    """What was copied to or from one node."""

    node_name: str
    files: int
    directories: int
    links: int
    size_bytes: int = Field(description="Bytes of content.")
    duration_s: float
    skipped: tuple[str, ...] = Field(default=(), description="What was left out, and why.")


class TransferResult(Abridgeable):
    """A file or a tree is at its destination on every node, or, of a pull, on the host."""

    per_node: dict[str, NodeTransfer]
