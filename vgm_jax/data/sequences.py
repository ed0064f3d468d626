"""Films as sequences of vectors, of one length, so that they go into batches; and back as they were.

An item is one of `data.sources.summaries`: features [n D], picks [n], importance [n], shots [S 2], shot [n],
user_summary [A F], n_frames, and perhaps user_scores [A F], times [n].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

SECONDS = 0.5  # between two vectors of files that do not say: they hold two a second
ROUND = 32  # vectors, to a multiple of which films are filled up
NONE = 255  # in user_summary: no annotator, no frame
_ALONG = ("features", "picks", "importance", "shot", "times")


class Sequences:
    """A source of films that are all filled up to the longest one's length; the rest is as the other's.

    Items have what the other source's have, and "times" float32 [N], "valid" bool [N]: where there is a
    vector. Fillings are 0, in "shots" -1, in "user_summary" NONE, in "user_scores" NaN.
    """

    def __init__(self, source: Any):
        self.source = source
        if len(source) == 0:
            raise ValueError(f"{source}: no films")
        shapes = [self._shapes(source[i]) for i in range(len(source))]
        sizes = {(s["features"][1]) for s in shapes}
        if len(sizes) > 1:
            raise ValueError(f"{source}: vectors of one size are expected, not of {sorted(sizes)}")
        names = {frozenset(s) for s in shapes}
        self._names = frozenset.intersection(*names)
        self._most = {name: np.max([s[name] for s in shapes], 0) for name in self._names if shapes[0][name]}
        self._length = -(-int(self._most["features"][0]) // ROUND) * ROUND

    @staticmethod
    def _shapes(item: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        return {name: np.shape(value) for name, value in item.items()}

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Sequences({self.source!r})"

    @property
    def description(self) -> dict[str, Any]:
        """Of the source."""
        return self.source.description

    @property
    def protocol(self) -> dict[str, Any]:
        """Of the source: how a film's F-scores become one ("reduce"), the "budget"."""
        return self.source.protocol

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        item = {name: value for name, value in self.source[index].items() if name in self._names}
        n = len(item["features"])
        item.setdefault("times", (SECONDS * np.arange(n)).astype(np.float32))
        filled = {"valid": np.arange(self._length) < n, "n_frames": np.int32(item["n_frames"])}
        for name, value in item.items():
            if name in _ALONG:
                filled[name] = _fill(value, (self._length, *value.shape[1:]), 0)
            elif name in ("shots", "user_summary", "user_scores"):
                with_ = {"shots": -1, "user_summary": NONE, "user_scores": np.nan}[name]
                filled[name] = _fill(value, tuple(self._most[name]), with_)
        return filled


def _fill(array: np.ndarray, shape: tuple[int, ...], value: float) -> np.ndarray:
    filled = np.full(shape, value, array.dtype)
    filled[tuple(slice(n) for n in array.shape)] = array
    return filled


def film_of(batch: Mapping[str, Any], row: int) -> dict[str, np.ndarray]:
    """A row of a batch as it was before it was filled up, but for its features."""
    item = {name: np.asarray(value[row]) for name, value in batch.items() if name != "features"}
    n, frames = int(item["valid"].sum()), int(item["n_frames"])
    film = {name: item[name][:n] for name in _ALONG if name in item}
    film |= {"n_frames": frames, "shots": item["shots"][item["shots"][:, 1] > 0]}
    annotators = item["user_summary"][:, 0] != NONE
    for name in ("user_summary", "user_scores"):
        if name in item:
            film[name] = item[name][annotators, :frames]
    return film
