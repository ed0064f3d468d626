"""Where clips come from.

A source is random access: `len(source)`, `source[i]` -> one example of a Batch, unbatched.
"""

from typing import Any

from vgm_jax.data.sources.shapeshow import ShapeShow

SOURCES = {"shapeshow": ShapeShow}


def make_source(data: Any, split: str):
    """The source that a config's `data` section describes; its own settings are under `data.<source's name>`.

    Raises ValueError, listing the names, for an unknown source.
    """
    if data.source not in SOURCES:
        raise ValueError(f"data.source={data.source!r} is unknown; choose one of {', '.join(SOURCES)}")
    own = dict(data[data.source])
    return SOURCES[data.source](
        split, size=data.size, frames=data.frames, fps=data.fps, seed=data.seed, **own
    )
