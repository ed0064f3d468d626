"""From a model to files."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from vgm_jax.data.media import VideoWriter, grid
from vgm_jax.inference.generator import GeneratorModel

SHOWN_FRAMES = 16  # the shortest clip that is written by default, where the generator can make it
SHOWN_SIDE = 128  # pixels; smaller frames are enlarged by a whole number in files that people look at


def grid_frames(
    model: GeneratorModel, key: jax.Array | int, n: int, frames: int, fps: float | None
) -> Iterator[np.ndarray]:
    """The frames of a grid of `n` clips, uint8 [H W 3], one by one: memory does not grow with the length."""
    streams = [model.stream(key, index, frames, fps) for index in range(n)]
    for at_once in zip(*streams, strict=True):
        yield grid(np.stack(at_once)[:, None])[0]


def sample_file(
    model: GeneratorModel,
    path: str | os.PathLike,
    key: jax.Array | int = 0,
    n: int = 1,
    frames: int | None = None,
    fps: float | None = None,
    scale: int | None = None,
) -> Path:
    """Writes `n` samples to a video file, as a grid where there are several.

    The length defaults to that of training, but at least 16 frames. `scale` enlarges by a whole number; by
    default small frames are, for the eye. Raises as `model.sample` and `VideoWriter` do.
    """
    if n < 1:
        raise ValueError(f"n={n} must be positive")
    if frames is None:
        frames = model.frames if model.max_seconds is not None else max(model.frames, SHOWN_FRAMES)
    path = Path(path)
    images = grid_frames(model, key, n, frames, fps)
    first = next(images)
    if scale is None:
        scale = max(1, -(-SHOWN_SIDE // min(first.shape[:2])))
    with VideoWriter(path, fps or model.fps, scale=scale) as writer:
        writer.write(first)
        for image in images:
            writer.write(image)
    return path
