"""What of a scene is where: its objects on a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vgm_jax.data.sources import _shapeshow_render as render
from vgm_jax.data.sources._shapeshow_world import COLOUR_NAMES, SHAPES, Plan


def layout_of(plans: Sequence[Plan], paths: Sequence[render.Path], cells: int) -> np.ndarray:
    """float32 [T cells cells 4], rows first: what is in each cell of the picture.

    Shape and colour, counted from 1, of the object whose centre is in it, 0 where there is none; and where in
    the cell that is, x and y in -1..1. Of several, the one in front; an object whose centre is within
    the radius of one before it is nowhere (as if all were discs: what shows through a ring is not told).
    """
    steps = np.arange(len(paths[0].x))
    found = np.zeros((len(steps), cells, cells, 4), np.float32)
    for i, (plan, path) in enumerate(zip(plans, paths, strict=True)):
        at = np.stack([path.x, path.y], -1) * cells
        cell = np.clip(at.astype(int), 0, cells - 1)
        hidden = np.zeros(len(steps), bool)
        for front in paths[i + 1 :]:
            hidden |= np.hypot(front.x - path.x, front.y - path.y) < front.radius
        rows = steps[~hidden], cell[~hidden, 1], cell[~hidden, 0]
        found[(*rows, slice(0, 2))] = SHAPES.index(plan.shape) + 1, COLOUR_NAMES.index(plan.colour) + 1
        found[(*rows, slice(2, 4))] = (2 * (at - cell) - 1)[~hidden]
    return found
