"""Where clips come from.

A source is random access: `len(source)`, `source[i]` -> one example of a Batch, unbatched.
"""

from typing import Any

from vgm_jax.data.sources.arrays import Arrays
from vgm_jax.data.sources.folder import Folder
from vgm_jax.data.sources.kinetics import Kinetics
from vgm_jax.data.sources.msrvtt import MsrVtt
from vgm_jax.data.sources.prepared import is_prepared, open_prepared
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.sources.something import Something
from vgm_jax.data.sources.summaries import Summaries
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.data.sources.ucf101 import Ucf101
from vgm_jax.data.views import Viewed

SOURCES = {"shapeshow": ShapeShow, "arrays": Arrays, "folder": Folder, "tfds": Tfds}
SOURCES |= {"ucf101": Ucf101, "kinetics": Kinetics, "something": Something, "msrvtt": MsrVtt}
SOURCES |= {"summaries": Summaries}  # of features, not clips
RENDERED = ("shapeshow",)  # from data.seed; the others read files at data.path


def make_source(data: Any, split: str):
    """The source that a config's `data` section describes; its own settings are under `data.<source's name>`.

    For training with clips flipped or reversed, its items have views of their labels (`data.views`).
    Raises ValueError for an unknown source, listing the names, and where no class may be flipped (reversed).
    """
    if data.source not in SOURCES:
        raise ValueError(f"data.source={data.source!r} is unknown; choose one of {', '.join(SOURCES)}")
    given = {"seed": data.seed} if data.source in RENDERED else {"path": data.path}
    make, settings = SOURCES[data.source], dict(data[data.source])
    if data.source == "folder" and is_prepared(data.path):
        make, settings = open_prepared, {name: settings[name] for name in ("labels", "audio", "groups")}
    source = make(split=split, size=data.size, frames=data.frames, fps=data.fps, **given, **settings)
    changed = split == "train" and {"flip", "reverse"} & set(data.augment)
    return Viewed(source).check(data.augment) if changed else source
