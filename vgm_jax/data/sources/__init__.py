"""Where clips come from.

A source is random access: `len(source)`, `source[i]` -> one example of a Batch, unbatched.
"""

import functools
import json
from typing import Any

from ml_collections import ConfigDict

from vgm_jax.data.asked import Asked, learn_answers
from vgm_jax.data.sources.arrays import Arrays
from vgm_jax.data.sources.folder import Folder
from vgm_jax.data.sources.kinetics import Kinetics
from vgm_jax.data.sources.msrvtt import MsrVtt
from vgm_jax.data.sources.prepared import is_prepared, open_prepared
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.sources.shapeshow_films import ShapeShowFilms
from vgm_jax.data.sources.something import Something
from vgm_jax.data.sources.summaries import Summaries
from vgm_jax.data.sources.tfds import Tfds
from vgm_jax.data.sources.ucf101 import Ucf101
from vgm_jax.data.sources.vectors import VectorFile
from vgm_jax.data.text import Vocabulary
from vgm_jax.data.views import Viewed
from vgm_jax.data.worded import Worded, learn_from

SOURCES = {"shapeshow": ShapeShow, "arrays": Arrays, "folder": Folder, "tfds": Tfds}
SOURCES |= {"ucf101": Ucf101, "kinetics": Kinetics, "something": Something, "msrvtt": MsrVtt}
SOURCES |= {"shapeshow_films": ShapeShowFilms}  # not clips, but films
SOURCES |= {"summaries": Summaries, "vectors": VectorFile}  # of features, not clips
# From data.seed, with a vocabulary of their own; the others read files at data.path.
RENDERED = ("shapeshow", "shapeshow_films")


def make_source(data: Any, split: str):
    """The source that a config's `data` section describes; its own settings are under `data.<source's name>`.

    With `data.text.length`, its items have "text", in a vocabulary of the training split's captions. Of a
    source that has a list of questions, its items have them in the same vocabulary (`data.asked`). For
    training with clips flipped or reversed, its items have views of labels and words (`data.views`).
    Raises ValueError for an unknown source, listing the names, where no class may be flipped (reversed), and
    where there are no captions to learn from.
    """
    source = _open(data, split)
    if getattr(source, "questions", False):
        source = Asked(source, *_learnt(_plain(data)))
    if data.text.length:
        if data.source in RENDERED:
            raise ValueError(
                f"data.text.length: {data.source} has words of its own; set it to 0, and "
                f"data.{data.source}.text=True"
            )
        source = Worded(source, _learnt(_plain(data))[0], data.text.length)
    changed = split == "train" and {"flip", "reverse"} & set(data.augment)
    return Viewed(source).check(data.augment) if changed else source


def _plain(data: Any) -> str:
    """A `data` section in JSON."""
    plain = data.to_dict() if hasattr(data, "to_dict") else dict(data)
    return json.dumps(plain, sort_keys=True, default=list)


@functools.lru_cache(maxsize=4)
def _learnt(data: str) -> tuple[Vocabulary, tuple[str, ...]]:
    """Words and answers of the training split of a `data` section in JSON: the same for all splits."""
    section = ConfigDict(json.loads(data))
    source, text = _open(section, "train"), section.text
    asked = bool(getattr(source, "questions", False))
    words = learn_from(source, text.most, captions=text.length > 0, questions=asked)
    return words, learn_answers(source, text.answers) if asked else ()


def _open(data: Any, split: str) -> Any:
    if data.source not in SOURCES:
        raise ValueError(f"data.source={data.source!r} is unknown; choose one of {', '.join(SOURCES)}")
    given = {"seed": data.seed} if data.source in RENDERED else {"path": data.path}
    make, settings = SOURCES[data.source], dict(data[data.source])
    if data.source == "folder" and is_prepared(data.path):
        make, settings = open_prepared, {name: settings[name] for name in ("labels", "audio", "groups")}
    return make(split=split, size=data.size, frames=data.frames, fps=data.fps, **given, **settings)
