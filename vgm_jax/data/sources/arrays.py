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

    Clips may have classes, in {split}_labels.npy, integers [N] from 0; their names are then the lines of
    classes.txt, if there is one. And actions, in {split}_actions.npy, integers [N T] from 0: what led to each
    frame from the one before.

    Attributes:
      actions: kinds of actions, the largest one and one more; 0 without any.

    Args:
      split: train, validation or test.
      path: the directory.
      size, frames: of the clips in the files; clips are not resized or cut.
      fps: frames a second at which the clips are meant to be played; the files do not say.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: naming the file, for an unknown split, a file that is no array, and an array of another
        dtype, shape, size or number of frames; for labels and actions that do not fit the clips.
    """

    def __init__(
        self, split: str = "train", *, path: str | os.PathLike, size: int, frames: int, fps: float = 16.0
    ):
        if split not in SPLITS:
            raise ValueError(f"arrays: split must be one of {', '.join(SPLITS)}; got {split!r}")
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"arrays: fps must be positive; got {fps}")
        self.split, self.path = split, Path(path).expanduser() / f"{split}.npy"
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
        self.labels = self._beside("labels", clips.shape[:1])
        self._actions = self._beside("actions", clips.shape[:2])
        self.actions = 0 if self._actions is None else int(self._actions.max(initial=0)) + 1
        self._names = self._find_names()

    def _beside(self, what: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """int32 of that shape; None where there is no such file."""
        path = self.path.with_name(f"{self.split}_{what}.npy")
        if not path.is_file():
            return None
        found = np.array(_array(path))
        if found.dtype.kind not in "iu" or found.shape != shape or found.min(initial=0) < 0:
            raise ValueError(
                f"{path}: expected integers from 0 of shape {shape}, as the clips, "
                f"got {found.dtype} {found.shape}"
            )
        return found.astype(np.int32)

    def _find_names(self) -> tuple[str, ...]:
        """Of classes, by number where there is no list; none without labels."""
        if self.labels is None:
            return ()
        names, highest = self.path.with_name("classes.txt"), int(self.labels.max(initial=-1))
        if not names.is_file():
            return tuple(map(str, range(highest + 1)))
        lines = tuple(names.read_text(encoding="utf-8").split("\n"))
        lines = lines[:-1] if lines[-1] == "" else lines
        if highest >= len(lines):
            raise ValueError(f"{names}: lists {len(lines)} classes; {self.split} has class {highest}")
        return lines

    def class_names(self) -> tuple[str, ...]:
        """Of the values of "label"; none where clips have no classes."""
        return self._names

    @property
    def num_classes(self) -> int:
        return len(self._names)

    def _clips(self) -> np.ndarray:
        """The file as an array; opened anew each time: a worker process is sent a name and not clips."""
        return _array(self.path)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T H W 3], "times" float32 [T]; "label" int32, "action" int32 [T], if any.

        Raises:
          IndexError: for an index under 0 or not under `len`.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: clip {index} of {len(self)}; expected 0..{len(self) - 1}")
        times = np.arange(self.frames, dtype=np.float32) / np.float32(self.fps)
        item = {"video": np.array(self._clips()[index]), "times": times}
        more = {"label": self.labels, "action": self._actions}
        return item | {name: np.array(x[index]) for name, x in more.items() if x is not None}

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file; read once."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON; the file's content, not its place."""
        settings = {name: getattr(self, name) for name in ("split", "size", "frames", "fps", "sha256")}
        more = {"labels": self.labels, "actions": self._actions}
        settings |= {n: hashlib.sha256(x.tobytes()).hexdigest() for n, x in more.items() if x is not None}
        settings |= {"classes": list(self._names)} if self._names else {}
        return {"source": "arrays", "length": len(self)} | settings


def _array(path: Path) -> np.ndarray:
    """Mapped. Raises ValueError naming the file."""
    try:
        array = map_array(path)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a plain NumPy array ({error})") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: not a plain NumPy array (several of them)")
    return array
