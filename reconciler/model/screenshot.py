"""A picture of a node's screen."""

from pydantic import Field

from reconciler.model.base import Frozen
from reconciler.model.timestamps import Moment


class Screenshot(Frozen):
    """What a node's screen shows; the picture itself comes beside these facts."""

    node_name: str = Field(description="Name of the node.")
    width: int = Field(description="Of the picture, in pixels.")
    height: int = Field(description="Of the picture, in pixels.")
    screen_width: int = Field(description="Of the screen; more than `width` if the picture was made smaller.")
    screen_height: int = Field(description="Of the screen, in pixels.")
    size_bytes: int = Field(description="Of the picture, a PNG.")
    taken_at: Moment = Field(description="When.")
    png: bytes = Field(default=b"", exclude=True, repr=False, description="The picture, which is no part of the JSON.")
