"""Feature vectors with classes, from an .npz file: what `vgm features` writes, or arrays of one's own."""

import functools
import hashlib
import operator
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
# Of a class, in a fixed random order: which split each is in. Classes of few rows shall have some held out.
TENTHS = (0, 0, 1, 2) + (0,) * 6


class VectorFile:
    """A random access source of vectors. Nothing in the file is unpickled.

    The file holds "features" (or "pooled", as `vgm features` calls it) float [N D], and of each row
    - "labels": int [N] from 0 on, or names, str [N]. Without it, "files" str [N] as `vgm features` writes it:
      the class is the folder that a file is in.
    - perhaps "split": str [N], train, validation or test. Without it eight tenths of each class are for
      training, one for validation, one for test, drawn at random once and for all; of a class of less than
      four rows there is none for test, of less than three none for validation.
    And perhaps "classes" str [C], what labels mean, and "attributes" float [C A], what each class is like:
    with them there may be classes without a row for training, which a model is to know by these alone.

    Args:
      split: train, validation or test.
      path: the file.
      size: numbers of a vector.
      frames, fps: of sources of clips; not used.
      attributes: numbers that tell a class; 0: its attributes are not used, if it has any.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: naming the file and the array, for what is not as above.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        path: str | os.PathLike,
        size: int,
        frames: int | None = None,
        fps: float | None = None,
        attributes: int = 0,
    ):
        if split not in SPLITS:
            raise ValueError(f"vectors: the splits are {', '.join(SPLITS)}; got {split!r}")
        self.split, self.path, self.size = split, Path(path).expanduser(), operator.index(size)
        if not str(path) or not self.path.is_file():
            raise FileNotFoundError(
                f"data.path={str(path)!r}: expected an .npz with features and labels, such as "
                "`vgm features DIR -o features.npz` writes of a folder whose sub-folders are classes"
            )
        arrays = _read(self.path)
        features = arrays.get("features", arrays.get("pooled"))
        self._check(features is not None and features.ndim == 2, "features", features, "float [N D]")
        if features.shape[1] != self.size:
            raise ValueError(
                f"{self.path}: its vectors have {features.shape[1]} numbers, data.size is {self.size}; "
                f"set data.size={features.shape[1]}"
            )
        self._check(np.isfinite(features).all(), "features", features, "finite numbers")
        labels, self._names = self._labels(arrays, len(features))
        known = arrays.get("attributes")
        if attributes:
            shape = len(self._names), operator.index(attributes)
            fits = known is not None and known.shape == shape and np.isfinite(known).all()
            self._check(
                fits, "attributes", known, f"finite [{shape[0]} {shape[1]}] (data.vectors.attributes)"
            )
        self.attributes = np.asarray(known, np.float32) if attributes else None
        where = self._split(arrays, labels) == SPLITS.index(split)
        self.features = np.ascontiguousarray(features[where], np.float32)
        self.labels = labels[where].astype(np.int32)

    def _check(self, right: bool, name: str, array: Any, expected: str) -> None:
        if not right:
            found = "there is none" if array is None else f"it is {array.dtype} {list(array.shape)}"
            raise ValueError(f"{self.path}: expected {name!r} to be {expected}; {found}")

    def _labels(self, arrays: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """int [N], and what they mean."""
        labels = arrays.get("labels")
        if labels is None and "files" in arrays:
            labels = np.array([Path(name).parent.name for name in arrays["files"].tolist()])
            if "" in labels.tolist():
                raise ValueError(
                    f"{self.path}: no 'labels', and some files are in no folder that could be their class"
                )
        fits = labels is not None and labels.shape == (count,) and labels.dtype.kind in "iuU"
        self._check(fits, "labels", labels, f"int or str [{count}]")
        names = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else ()
        if labels.dtype.kind == "U":
            names = names or tuple(sorted(set(labels.tolist())))
            unknown = sorted(set(labels.tolist()) - set(names))
            if unknown:
                raise ValueError(f"{self.path}: the label {unknown[0]!r} is not among 'classes'")
            labels = np.array([names.index(name) for name in labels.tolist()])
        classes = max(int(labels.max(initial=0)) + 1, len(arrays.get("attributes", ())))
        names = names or tuple(map(str, range(classes)))
        within = labels.min(initial=0) >= 0 and labels.max(initial=0) < len(names)
        self._check(within, "labels", labels, f"in 0..{len(names) - 1}")
        return labels.astype(np.int64), names

    def _split(self, arrays: dict[str, np.ndarray], labels: np.ndarray) -> np.ndarray:
        """Of each row, the place of its split in `SPLITS`."""
        given = arrays.get("split")
        if given is not None:
            fits = given.shape == labels.shape and set(given.tolist()) <= set(SPLITS)
            self._check(fits, "split", given, f"[{len(labels)}] of {', '.join(SPLITS)}")
            return np.array([SPLITS.index(name) for name in given.tolist()])
        order, found = np.random.default_rng(0).permutation(len(labels)), np.zeros(len(labels), int)
        for label in np.unique(labels):
            rows = order[labels[order] == label]
            found[rows] = np.resize(TENTHS, len(rows))
        return found

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "features" float32 [D] and "label" int32. Raises IndexError outside 0..len - 1."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} {self.split}: vector {index} of {len(self)}")
        return {"features": self.features[index], "label": self.labels[index]}

    def class_names(self) -> tuple[str, ...]:
        """What labels mean."""
        return self._names

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the vectors, fit for JSON; the file's content, not its place."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"source": "vectors", "split": self.split, "length": len(self), "sha256": digest}


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except (AttributeError, TypeError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an .npz of plain arrays ({error})") from error
