"""Clips from plain NumPy files: the shortest way from clips of one's own to a training run."""

import functools
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data._stills import map_array

SPLITS = ("train", "validation", "test")


class Arrays:
    """A random access source of the clips in `path`/{train,validation,test}.npy, uint8 [N T H W 3], RGB.

    The files are memory-mapped: a file may be larger than memory, and processes share what is read.

    Args:
      split: train, validation or test.
      path: the directory.
      size, frames: of the clips in the files; clips are not resized or cut.
      fps: frames a second at which the clips are meant to be played; the files do not say.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: naming the file, for an unknown split, a file that is no array, and an array of another
        dtype, shape, size or number of frames.
    """

    def __init__(
        self, split: str = "train", *, path: str | os.PathLike, size: int, frames: int, fps: float = 16.0
    ):
        if split not in SPLITS:
            raise ValueError(f"arrays: split must be one of {', '.join(SPLITS)}; got {split!r}")
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"arrays: fps must be positive; got {fps}")
        self.split, self.path = split, Path(path) / f"{split}.npy"
        if not path or not self.path.is_file():
            raise FileNotFoundError(
                f"data.path={str(path)!r}: expected a directory with train.npy, validation.npy and test.npy, "
                f"each uint8 [N T H W 3]; there is no {self.path.name}"
            )
        self.size, self.frames, self.fps = size, frames, float(fps)
        clips = self._clips()
        if clips.dtype != np.uint8:
            hint = (
                "; are they floats in [0, 1] or [-1, 1]? Scale to 0..255, round and save as uint8"
                if clips.dtype.kind == "f"
                else ""
            )
            raise ValueError(f"{self.path}: expected uint8 pixels, 0..255, got {clips.dtype}{hint}")
        if clips.ndim != 5 or clips.shape[-1] != 3:
            raise ValueError(
                f"{self.path}: expected clips [N T H W 3], channels last and RGB, got shape {clips.shape}"
            )
        if clips.shape[1] != frames:
            raise ValueError(
                f"{self.path}: clips have {clips.shape[1]} frames; set data.frames={clips.shape[1]}"
            )
        if clips.shape[2:4] != (size, size):
            height, width = clips.shape[2:4]
            what = f"set data.size={height}" if height == width else "they must be square"
            raise ValueError(f"{self.path}: clips are {height} x {width} pixels, data.size is {size}; {what}")
        self._length = len(clips)

    def _clips(self) -> np.ndarray:
        """The file as an array; opened anew each time: a worker process is sent a name and not clips."""
        try:
            return map_array(self.path)
        except ValueError as error:
            raise ValueError(f"{self.path}: not a plain NumPy array ({error})") from error

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T H W 3] and "times" float32 [T].

        Raises:
          IndexError: for an index under 0 or not under `len`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: clip {index} of {len(self)}; expected 0..{len(self) - 1}")
        times = np.arange(self.frames, dtype=np.float32) / np.float32(self.fps)
        return {"video": np.array(self._clips()[index]), "times": times}

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file; read once."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON; the file's content, not its place."""
        settings = {name: getattr(self, name) for name in ("split", "size", "frames", "fps", "sha256")}
        return {"source": "arrays", "length": len(self)} | settings
