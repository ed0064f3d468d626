"""TVSum and SumMe for video summarization: the h5 files of features and annotations that the field shares.

TVSum: Song et al., CVPR 2015, https://github.com/yalesong/tvsum. SumMe: Gygli et al., ECCV 2014,
https://gyglim.github.io/me/vsum. Their h5 files, eccv16_dataset_*.h5, are those of Zhou et al., AAAI 2018,
arXiv 1801.00054, https://github.com/KaiyangZhou/pytorch-vsumm-reinforce, which PGL-SUM and AC-SUM-GAN use;
the protocol is that of Zhang et al., ECCV 2016, arXiv 1605.08110.
"""

import functools
import json
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data._readers import natural
from vgm_jax.data.sources._clips import files_hash
from vgm_jax.data.sources._lists import by_chance, held_out

SPLITS = ("train", "validation", "test")
FOLDS = 5
BUDGET = 0.15  # of a video's frames, that a summary may have
# How a video's F-scores against each annotator become one.
REDUCE = {"tvsum": "mean", "summe": "max"}
_NEEDED = ("features", "gtscore", "user_summary", "change_points", "n_frame_per_seg", "n_frames", "picks")


class Summaries:
    """A random access source of videos as features, with scores, shots and summaries by annotators.

    An h5 file holds a group a video: features [n D], gtscore [n], user_summary [annotators frames],
    change_points [shots 2], n_frame_per_seg [shots], n_frames, picks [n], and perhaps video_name and
    user_scores [annotators frames]. n counts the frames that features were taken of, "picks" says which.
    The ends of shots in change_points are inclusive; here they are not, as everywhere in Python.

    Args:
      path: the h5 file.
      split: train, validation or test.
      size, frames, fps: of sources of clips; not used.
      dataset: "tvsum" or "summe", for the protocol; "": by the file's name.
      splits: a JSON file as PGL-SUM's, [{"train_keys": [...], "test_keys": [...]}], beside the h5 file or
        anywhere; "": five folds by a hash of `seed` and the videos' keys, each the test set of one.
      number: of the split or fold, from 0.
      seed: of the folds, and of which tenth of the training videos is for validation.

    Raises:
      ImportError: h5py is not installed.
      FileNotFoundError: no such file.
      ValueError: naming the file and the video, for what is not as above.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        split: str = "train",
        *,
        size: int | None = None,
        frames: int | None = None,
        fps: float | None = None,
        dataset: str = "",
        splits: str = "",
        number: int = 0,
        seed: int = 0,
    ):
        if not str(path):
            raise ValueError("data.path is empty: give an h5 file, --config.data.path=FILE")
        if split not in SPLITS:
            raise ValueError(f"summaries: the splits are {', '.join(SPLITS)}; got {split!r}")
        self.path, self.split = Path(path).expanduser(), split
        self.splits, self.number, self.seed = str(splits), operator.index(number), operator.index(seed)
        named = [name for name in REDUCE if name in self.path.name.lower()]
        self.dataset = dataset or (named[0] if len(named) == 1 else "")
        if self.dataset not in REDUCE:
            raise ValueError(
                f"{self.path}: data.summaries.dataset must be {' or '.join(REDUCE)}; got {dataset!r}, "
                "and the file's name does not say"
            )
        with _open(self.path) as file:
            self.keys = self._of_split(sorted(file, key=natural))
            self._videos = [_read(file[key], f"{self.path}: {key}") for key in self.keys]
            names = [file[key]["video_name"][()] if "video_name" in file[key] else key for key in self.keys]
        self._names = [name.decode() if isinstance(name, bytes) else str(name) for name in names]

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        settings = ("split", "dataset", "splits", "number", "seed")
        return f"Summaries({str(self.path)!r}, {', '.join(f'{s}={getattr(self, s)!r}' for s in settings)})"

    @property
    def protocol(self) -> dict[str, Any]:
        """What figures on these videos depend on, fit for JSON."""
        return {
            "dataset": self.dataset,
            "f_score": f"{REDUCE[self.dataset]} over annotators",
            "reduce": REDUCE[self.dataset],
            "budget": BUDGET,
            "videos": len(self),
            "annotators": sorted({len(video["user_summary"]) for video in self._videos}),
        }

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the videos, fit for JSON; "sha256" is over the files' content."""
        files = {"h5": self.path} | ({"splits": self._splits_path()} if self.splits else {})
        settings = {name: getattr(self, name) for name in ("split", "dataset", "number", "seed")}
        own = "file" if self.splits else f"{FOLDS} folds"
        return {
            "source": "summaries",
            "splits": own,
            "keys": self.keys,
            "sha256": files_hash(files),
        } | settings

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A video; its arrays are not to be written to.

        "features" float32 [n D]; "picks" int32 [n], the frames they are of; "importance" float32 [n],
        the gtscore; "shots" int32 [shots 2], the first frame and the one after the last;
        "shot" int32 [n], the shot that each pick is in; "user_summary" uint8 [annotators frames], 1 where an
        annotator's summary has the frame; "n_frames" int32, how many there are; and, where the file has them,
        "user_scores" float32 [annotators frames].

        Raises:
          IndexError: for an index under 0 or not under `len`.
        """
        return dict(self._videos[self._check(index)])

    def name(self, index: int) -> str:
        """The video's name where the file has it, else its key."""
        return self._names[self._check(index)]

    def _check(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} {self.split}: index {index} is not in 0..{len(self) - 1}")
        return index

    # ------------------------------------------------------------------ splits
    def _splits_path(self) -> Path:
        return self.path.parent / Path(self.splits).expanduser()  # an absolute path stays as it is

    def _of_split(self, keys: list[str]) -> list[str]:
        train, test = self._folds(keys) if not self.splits else self._listed(keys)
        if self.split == "test":
            return test
        held = held_out(train, self.seed, self._splits_path() if self.splits else self.path)
        return [key for key in train if (key in held) == (self.split == "validation")]

    def _folds(self, keys: list[str]) -> tuple[list[str], list[str]]:
        if len(keys) < FOLDS or not 0 <= self.number < FOLDS:
            raise ValueError(
                f"{self.path}: expected number in 0..{FOLDS - 1} and at least {FOLDS} videos, for folds; "
                f"got {self.number} and {len(keys)}"
            )
        test = set(by_chance(keys, self.seed)[self.number :: FOLDS])
        return [key for key in keys if key not in test], [key for key in keys if key in test]

    def _listed(self, keys: list[str]) -> tuple[list[str], list[str]]:
        path = self._splits_path()
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file of splits (data.summaries.splits)")
        try:
            content = json.loads(path.read_text())
            part = content[self.number] if self.number >= 0 else None
            parts = [[Path(key).name for key in part[name]] for name in ("train_keys", "test_keys")]
        except (json.JSONDecodeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: expected [{{train_keys, test_keys}}] with an entry {self.number} ({error!r})"
            ) from error
        for key in parts[0] + parts[1]:
            if key not in keys:
                raise ValueError(f"{path}: {key} is not in {self.path}")
        if set(parts[0]) & set(parts[1]):
            raise ValueError(f"{path}: {sorted(set(parts[0]) & set(parts[1]))[0]} is in train and in test")
        if not parts[1]:
            raise ValueError(f"{path}: no video for test in entry {self.number}")
        return parts[0], parts[1]


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{path}: h5 files need h5py: pip install 'vgm_jax[h5]'") from error
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected an h5 file of TVSum or SumMe")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not an h5 file ({error})") from error


def _read(group: Any, where: str) -> dict[str, Any]:
    """An item, checked; `where` names the file and the video."""

    def check(right: bool, what: str) -> None:
        if not right:
            raise ValueError(f"{where}: {what}")

    missing = [name for name in _NEEDED if name not in group]
    check(not missing, f"no {', '.join(missing)}; expected {', '.join(_NEEDED)}")
    data = {name: np.asarray(group[name]) for name in _NEEDED}
    frames, picks, points = int(data["n_frames"].reshape(())), data["picks"], data["change_points"]
    n = len(picks)
    for name, shape in (("features", (n, None)), ("gtscore", (n,)), ("user_summary", (None, frames))):
        given = data[name].shape
        right = len(given) == len(shape) and all(s in (None, g) for s, g in zip(shape, given, strict=True))
        check(right, f"{name} is {list(given)}; there are {n} picks and {frames} frames")
    check(
        n > 0 and (np.diff(picks) > 0).all() and 0 <= picks[0] and picks[-1] < frames, "picks are no frames"
    )
    check(np.isin(data["user_summary"], (0, 1)).all(), "user_summary is not of 0 and 1")
    scores = np.asarray(group["user_scores"], np.float32) if "user_scores" in group else None
    if scores is not None:
        shape = data["user_summary"].shape
        check(scores.shape == shape, f"user_scores is {list(scores.shape)}, user_summary {list(shape)}")
    for name, numbers in (
        ("features", data["features"]),
        ("gtscore", data["gtscore"]),
        ("user_scores", scores),
    ):
        check(numbers is None or np.isfinite(numbers).all(), f"{name} has numbers that are not finite")
    check(points.ndim == 2 and points.shape[1] == 2 and len(points) > 0, "change_points is not [shots 2]")
    lengths = points[:, 1] - points[:, 0] + 1
    check(
        np.array_equal(lengths, data["n_frame_per_seg"]),
        "n_frame_per_seg is not last - first + 1 of change_points, whose ends must be inclusive",
    )
    joined = points[0, 0] == 0 and (points[1:, 0] == points[:-1, 1] + 1).all() and (lengths > 0).all()
    check(
        joined and points[-1, 1] < frames, f"change_points are not shots one after another in {frames} frames"
    )
    shots = (points + [0, 1]).astype(np.int32)
    item = {
        "features": data["features"].astype(np.float32),
        "picks": picks.astype(np.int32),
        "importance": data["gtscore"].astype(np.float32),
        "shots": shots,
        # Frames after the last shot, if any, count as its.
        "shot": np.minimum(np.searchsorted(shots[:, 1], picks, side="right"), len(shots) - 1).astype(
            np.int32
        ),
        "user_summary": data["user_summary"].astype(np.uint8),
        "n_frames": np.int32(frames),
    }
    return item if scores is None else item | {"user_scores": scores}
