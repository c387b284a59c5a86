"""Where the nodes of a graph are drawn: in a circle around their network, or in a grid if they are many. Pure."""

import math
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 176, 62
_GAP = 26
_GAP_IN_CIRCLE = 70
_MOST_IN_CIRCLE = 40
_SMALLEST_RADIUS = 230
_MARGIN = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The centers of the nodes' boxes in order, that of the network, and the size of it all."""

    nodes: tuple[tuple[float, float], ...]
    network: tuple[float, float]
    width: float
    height: float


def lay_out(count: int) -> Layout:
    """Places for so many nodes; the first is at the top, or at the top left."""
    return _circle(count) if count <= _MOST_IN_CIRCLE else _grid(count)


def _circle(count: int) -> Layout:
    radius = max(_SMALLEST_RADIUS, count * (BOX_WIDTH + _GAP_IN_CIRCLE) / (2 * math.pi))
    middle_x, middle_y = radius + BOX_WIDTH / 2 + _MARGIN, radius + BOX_HEIGHT / 2 + _MARGIN
    turns = [2 * math.pi * number / max(1, count) - math.pi / 2 for number in range(count)]
    nodes = tuple((middle_x + radius * math.cos(turn), middle_y + radius * math.sin(turn)) for turn in turns)
    return Layout(nodes, (middle_x, middle_y), 2 * middle_x, 2 * middle_y)


def _grid(count: int) -> Layout:
    columns = math.ceil(math.sqrt(count))
    across, down = BOX_WIDTH + 2 * _GAP, BOX_HEIGHT + 2 * _GAP
    first_x, first_y = _MARGIN + BOX_WIDTH / 2, _MARGIN + BOX_HEIGHT / 2 + down
    nodes = tuple((first_x + number % columns * across, first_y + number // columns * down) for number in range(count))
    width = 2 * _MARGIN + columns * across - 2 * _GAP
    height = nodes[-1][1] + BOX_HEIGHT / 2 + _MARGIN
    return Layout(nodes, (width / 2, _MARGIN + BOX_HEIGHT / 2), width, height)
