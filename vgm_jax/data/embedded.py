"""Clips as vectors with classes: they go through frozen networks once; the user's cache keeps them."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from vgm_jax.data.featured import Embedding, saved_arrays
from vgm_jax.data.files import cache_folder, in_one_piece

CHUNK = 128  # clips of a file in the cache: so many are done again where a run is stopped
FORMAT = 2  # of these files: to be raised where code changes them


class Embedded:
    """A source of clips with labels in the form of `data.sources.vectors.VectorFile`.

    Args:
      source: of clips with "label".
      embedding: what makes a vector of a window; the window is the whole clip.
      count: of the source's clips, drawn at random once and for all; all, where it has fewer.
      report: told what takes its time.

    Raises ValueError where clips have no label, or no captions that the vectors are of.
    """

    attributes = None  # of its classes nothing is known but which is which

    def __init__(self, source: Any, embedding: Embedding, count: int, report: Callable[[str], None] = print):
        first = source[0] if len(source) else {"label": 0, "times": ()}
        if "label" not in first:
            raise ValueError(
                f"vectors need classes, and clips of {source!r} have no label: see data.<source>.labels"
            )
        if "text" in embedding.modalities and not hasattr(source, "caption"):
            raise ValueError(f"vectors of words need captions, which {source!r} has not")
        self.source, self.split = source, getattr(source, "split", "")
        self.indices = np.sort(np.random.default_rng(0).permutation(len(source))[:count])
        times = np.asarray(first["times"])
        self._fps = 1.0 / float(times[1] - times[0]) if len(times) > 1 else 1.0
        self._about = {"vectors": dict(embedding.description), "count": len(self.indices)}
        key = {"format": FORMAT, "source": source.description} | self._about
        digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        folder = cache_folder("vectors") / digest[:32]
        parts = []
        for start in range(0, len(self.indices), CHUNK):
            path = folder / f"{start}.npz"
            part = saved_arrays(path)
            if part is None:
                if not start:
                    report(f"taking vectors of {len(self.indices)} clips ({self.split}), once")
                part = self._chunk(embedding, self.indices[start : start + CHUNK])
                path.parent.mkdir(parents=True, exist_ok=True)
                with in_one_piece(path) as new, new.open("wb") as file:
                    np.savez(file, **part)
            parts.append(part)
        parts = parts or [{"features": np.zeros((0, 0), np.float32), "labels": np.zeros(0, np.int32)}]
        self.features = np.concatenate([part["features"] for part in parts])
        self.labels = np.concatenate([part["labels"] for part in parts])

    def _chunk(self, embedding: Embedding, indices: np.ndarray) -> dict[str, np.ndarray]:
        items = [self.source[int(i)] for i in indices]
        given = [n for n in embedding.modalities if n in items[0] and n != "text"]
        windows = {n: np.stack([x[n] for x in items]) for n in given}
        if "text" in embedding.modalities:
            windows["said"] = [self.source.caption(int(i)) for i in indices]
        vectors = embedding.of_windows(windows, self._fps).astype(np.float32)
        return {"features": vectors, "labels": np.array([x["label"] for x in items], np.int32)}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "features" float32 [D] and "label" int32. Raises IndexError outside 0..len - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"vector {index} of {len(self)}")
        return {"features": self.features[index], "label": self.labels[index]}

    def class_names(self) -> tuple[str, ...]:
        """What labels mean, where the source says it."""
        return tuple(self.source.class_names()) if hasattr(self.source, "class_names") else ()

    @property
    def description(self) -> dict[str, Any]:
        """Of the source, with what the vectors are."""
        return dict(self.source.description) | self._about
