"""A set of clips to be measured: which clips of what, in a fixed order, and what pins them down."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ClipSet:
    """Clips of one shape, in order.

    Attributes:
      name: what a person calls them.
      source: random access to items with "video" uint8 [T H W 3] and "times" float32 [T], seconds.
      indices: which of them, int [N].
      description: what determines the source, fit for JSON.
    """

    name: str
    source: Sequence[Mapping[str, np.ndarray]]
    indices: np.ndarray
    description: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> np.ndarray:
        """Clip i, uint8 [T H W 3]. Raises ValueError, naming the set, where it is anything else."""
        video = np.asarray(self.source[int(self.indices[i])]["video"])
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
            raise ValueError(
                f"{self.name}: clip {int(self.indices[i])} is {video.dtype} {video.shape}; expected uint8 "
                "[T H W 3] with values 0..255"
            )
        return video

    @property
    def rate(self) -> float | None:
        """Frames a second of the first clip; None of a single frame."""
        times = self.times.astype(np.float64)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None

    @property
    def times(self) -> np.ndarray:
        """Of the first clip's frames, float32 [T], seconds."""
        return np.asarray(self.source[int(self.indices[0])]["times"], np.float32)

    def part(self, start: int, stop: int) -> "ClipSet":
        """Clips start..stop-1."""
        return dataclasses.replace(self, indices=self.indices[start:stop])

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """uint8 [B T H W 3], the last batch filled up by repetition. Raises ValueError for mixed shapes."""
        shape = None
        for start in range(0, len(self), size):
            clips = [self[min(i, len(self) - 1)] for i in range(start, start + size)]
            shape = shape or clips[0].shape
            odd = [c.shape for c in clips if c.shape != shape]
            if odd:
                raise ValueError(f"{self.name}: clips of {odd[0]} among clips of {shape}")
            yield np.stack(clips)

    @property
    def hash(self) -> str:
        """SHA-256 of the description and the indices: two sets that share it are the same clips."""
        text = json.dumps([self.description, self.indices.tolist()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def choose(name: str, source: Any, count: int, seed: int = 0) -> ClipSet:
    """Up to `count` clips of a source, in a random order, for sources are sorted by class, film or time.

    The draw for a greater count starts with that for a smaller one. Raises ValueError where it has none.
    """
    if len(source) == 0:
        raise ValueError(f"{name} has no clips")
    indices = np.random.default_rng(seed).permutation(len(source))[:count]
    return ClipSet(name, source, indices, source.description)
