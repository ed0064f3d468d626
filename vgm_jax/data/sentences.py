"""Clips with what their captions mean, as vectors: computed once a data set, and kept in the user's cache."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from vgm_jax.data.featured import saved_arrays
from vgm_jax.data.files import cache_folder, in_one_piece
from vgm_jax.data.worded import say_as

CHUNK = 4096  # captions of a file in the cache: so many are done again where a run is stopped
FORMAT = 1  # of these files: to be raised where code changes them


class Meaning(Protocol):
    """What makes vectors of texts: see `tasks.sentences.Sentences`."""

    size: int
    description: Mapping[str, Any]

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> float32 [N size]."""


class Sentenced:
    """A source whose items have "sentence" float32 [D], their caption as a vector; zeros where there is none.

    Args:
      source: with `caption(index)`. Where it has `possible_captions()`, all that there can be, its clips are
        not gone through.
      meaning: what makes vectors.
      report: told what takes its time.

    Raises ValueError, naming the source, where it has no captions.
    """

    def __init__(self, source: Any, meaning: Meaning, report: Callable[[str], None] = print):
        if not hasattr(source, "caption"):
            raise ValueError(f"the condition 'sentence': {source!r} has no captions")
        self.source, self._about = source, dict(meaning.description)
        say_as(self, source)
        if hasattr(source, "possible_captions"):
            said = source.possible_captions()
        else:
            said = (source.caption(i) for i in range(len(source)))
        texts = sorted(set(map(_plain, said)) - {""})
        if not texts:
            raise ValueError(f"the condition 'sentence': none of the clips of {source!r} has a caption")
        self._vectors = _remembered(texts, meaning, report)
        self._rows = {text: i for i, text in enumerate(texts)}

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Sentenced({self.source!r}, {len(self._rows)} captions)"

    @property
    def description(self) -> dict[str, Any]:
        """The source's own, and what makes the vectors."""
        return dict(self.source.description) | {"sentence": self._about}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The source's item, with its "sentence".

        Raises as the source does, and ValueError for a caption that was not there when it was opened.
        """
        item = self.source[index]  # first: a source may find that another clip stands in for this one
        text = _plain(self.source.caption(index))
        if not text:
            return item | {"sentence": np.zeros(self._vectors.shape[1], np.float32)}
        if text not in self._rows:
            raise ValueError(
                f"clip {index} of {self.source!r} has a caption that was not there when the run began: "
                f"{text[:60]!r}; start again"
            )
        return item | {"sentence": self._vectors[self._rows[text]]}


def _plain(text: str) -> str:
    return " ".join(text.split())


def _remembered(texts: list[str], meaning: Meaning, report: Callable[[str], None]) -> np.ndarray:
    """float32 [N D] of texts, from the user's cache, by the hash of the texts and of what makes them."""
    key = {"format": FORMAT, "texts": texts, "by": dict(meaning.description)}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    folder, parts = cache_folder("sentences") / digest[:32], []
    for start in range(0, len(texts), CHUNK):
        chosen, path = texts[start : start + CHUNK], folder / f"{start}.npz"
        found = (saved_arrays(path) or {}).get("vectors")
        if found is None or found.shape != (len(chosen), meaning.size):
            if not parts:
                report(f"taking vectors of {len(texts)} captions, once")
            found = meaning.of(chosen)
            path.parent.mkdir(parents=True, exist_ok=True)
            with in_one_piece(path) as new, new.open("wb") as file:
                np.savez(file, vectors=found)
        parts.append(found)
    return np.concatenate(parts)
