"""Clips from a user's own videos, straight from a folder of them."""

import functools
import operator
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from vgm_jax.data import decode
from vgm_jax.data.captions import Captions, find_captions
from vgm_jax.data.sources._clips import Clips, Entry, Video, content_hash
from vgm_jax.data.sources._folder_videos import (
    HELD_OUT,
    SPLITS,
    by_hash,
    find_videos,
    in_order,
    named_splits,
    part_of,
)


class Folder(Clips):
    """A random access source of clips: all windows, one after another, of all videos in a folder.

    Reads every form that `vgm_jax.data.decode` does, in the folder and all below it: films, animated
    pictures, .npy (one clip uint8 [T H W 3] or many [N T H W 3]), and folders that hold pictures and no
    video as folders of frames. Hidden files and other suffixes are passed over. Videos come in natural order
    of their names. What cannot be read, or is too short for one clip, is skipped, listed in `rejected` and
    warned of, as is a folder that cannot be read; where a video turns out damaged only later, another clip
    stands in for its clip (`Clips`).

    Splits are by video, never by clip, where there is more than one:
    - folders named train(ing) and validation (val, valid) and / or test(ing), in any case, are the splits; if
      one of the latter two is absent, it is the other; what lies beside them is in none, and has no class;
    - otherwise a hash of seed and name decides: 10 % validation, 10 % test. Adding videos moves no other one,
      but where a split would be empty: it then gets a video of the largest. Of two videos the second is
      both validation and test.
    - one video alone is cut in time, 80 / 10 / 10 %, and if it has fewer than three clips all splits are the
      same; both with a warning, since such a validation says little about other videos.

    Clips that were decoded are kept, see `Clips`.

    Args:
      path: a folder, or one video; "~" is the home folder.
      split: train, validation, test; None or "all" for everything.
      size: height and width in pixels, by `decode.RESIZE`; None: as they are, which must then all be alike.
      frames: per clip, at least 1.
      fps: frames per second; None or 0: all frames as they are, one after another.
      seed: of the splits.
      rate: frames per second of folders of frames and .npy, which do not say; 0: they are at `fps` (or 1).
      labels: whether the folders right under `path` (or under the split's folder) are classes, sorted.
      groups: whether the folders right under `path` (with labels: under the classes') are split as one: all
        films of a patient or a camera. Of no effect on folders named train and validation.
      audio: whether items have "audio"; that of a video without sound is silence, so that items are alike.
        Needs fps.
      memory: MiB a process for decoded clips.

    Raises:
      ValueError: no video, no clip, frames that differ in size, a video in no class or group, or a number
        out of range.
      FileNotFoundError: no such path.
      PermissionError: `path` may not be read.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        split: str | None = None,
        *,
        size: int | None = None,
        frames: int = 16,
        fps: float | None = None,
        seed: int = 0,
        rate: float = 0.0,
        labels: bool = False,
        groups: bool = False,
        audio: bool = False,
        memory: float = 1024.0,
    ):
        if not str(path):
            raise ValueError("data.path is empty: give a folder of videos, --config.data.path=DIR")
        given = {"size": size, "frames": frames, "fps": fps, "rate": rate, "memory": memory}
        self._settings(path, split or "all", audio=audio, **given)
        if self.split not in (*SPLITS, "all"):
            raise ValueError(f"the splits of a folder are {', '.join(SPLITS)} and all; got {split!r}")
        self.seed, self.labels, self.groups = operator.index(seed), bool(labels), bool(groups)
        self._captions: dict[Path, Captions] = {}  # that were asked for
        unread: list[tuple[str, str]] = []
        found = find_videos(self.path, unread)
        if not found:
            expected = f"expected {', '.join(decode.SUFFIXES)}, or pictures"
            why = "".join(f"; {name}: {reason}" for name, reason in unread[:1])
            raise ValueError(f"{self.path}: no video; {expected}{why}")
        self._named_splits = named_splits(name for name, _ in found)  # whatever can be read
        beside = []
        if self._named_splits and (self.labels or self.split != "all"):
            beside = [name for name, _ in found if part_of(name) is None]
            found = [(name, file) for name, file in found if part_of(name)]
        videos = self._look_at([Entry(name, file) for name, file in found])
        self.rejected += unread + [(name, "beside the folders of the splits, so in none") for name in beside]
        self._labels = self._find_labels(videos) if self.labels else {}
        if self.labels:
            videos = [replace(v, label=self._labels[self._class_of(v.name)]) for v in videos]
        self._use(self._of_split(videos))

    # ------------------------------------------------------------------ what a user sees
    def __repr__(self) -> str:
        settings = ("split", "size", "frames", "fps", "seed", "rate", "labels", "groups", "audio")
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)
        return f"Folder({str(self.path)!r}, {shown})"

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON.

        "sha256" is over the sorted (name, bytes, SHA-256) of the files that the clips come from. They are
        read for it, once, on first use: about a second per gigabyte.
        """
        settings = ("split", "size", "frames", "fps", "seed", "rate", "labels", "groups", "audio")
        return (
            {"source": "folder", "resize": decode.RESIZE if self.size else None}
            | {name: getattr(self, name) for name in settings}
            | {"videos": len(self.videos), "clips": len(self)}
            | {"sha256": content_hash(self.videos)}
        )

    def caption(self, index: int) -> str:
        """What captions and subtitles (`vgm_jax.data.captions`) say during a clip; "" where there are none.

        They are looked for beside the video, in it, and in lists from its folder up to `path`.
        """
        start, end = self._span(index)
        return self._captions_of(self._shown(index).path).during(start, end)

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label"; none without `labels`."""
        return tuple(self._labels)

    @property
    def num_classes(self) -> int:
        return len(self._labels)

    # ------------------------------------------------------------------ index
    def _captions_of(self, path: Path) -> Captions:
        if path not in self._captions:
            self._captions[path] = find_captions(path, self.path)
        return self._captions[path]

    def _class_of(self, name: str) -> str | None:
        folders = name.split("/")[1 if self._named_splits else 0 : -1]
        return folders[0] if folders else None

    def _unit_of(self, name: str) -> str:
        """What is in one split as a whole: the video, or its group."""
        if not self.groups:
            return name
        folders = name.split("/")[int(self.labels) : -1]
        if not folders:
            raise ValueError(f"{self.path}: groups=True, but {name} is in no group's folder")
        return folders[0]

    def _find_labels(self, videos: list[Video]) -> dict[str, int]:
        for video in videos:
            if self._class_of(video.name) is None:
                raise ValueError(f"{self.path}: labels=True, but {video.name} is in no class folder")
        names = in_order({self._class_of(video.name) for video in videos})
        return {name: i for i, name in enumerate(names)}

    def _of_split(self, videos: list[Video]) -> list[Video]:
        if self.split == "all":
            return videos
        if self._named_splits:
            other = {"validation": "test", "test": "validation"}
            wanted = self.split if self.split in self._named_splits else other[self.split]
            own = [video for video in videos if part_of(video.name) == wanted]
            if not own:
                name, why = next((x for x in self.rejected if part_of(x[0]) == wanted), self.rejected[0])
                raise ValueError(
                    f"{self.path}: no video of {wanted} gives a clip of {self.frames} frames; the first, "
                    f"{name}: {why}"
                )
            return own
        unit = {video.name: self._unit_of(video.name) for video in videos}
        units = list(dict.fromkeys(unit.values()))
        if self.groups and len(units) < 2:
            raise ValueError(f"{self.path}: groups=True, but {units[0]} is the only group: give two or more")
        if len(videos) > 1:
            part = by_hash(units, self.seed)
            if len(units) == 2 and self.split == "test":
                what = "groups" if self.groups else "videos"
                warnings.warn(f"{self.path}: two {what}: one is both validation and test", stacklevel=3)
            return [video for video in videos if self.split in part[unit[video.name]]]
        (video,) = videos
        held = max(1, round(HELD_OUT * video.clips))
        if video.clips < 3:
            warnings.warn(f"{video.name}: too few clips to split; validation is the training", stacklevel=3)
            return videos
        warnings.warn(
            f"{video.name}: one video, validation and test are its last clips: they say little about others",
            stacklevel=3,
        )
        train = video.clips - 2 * held
        first = {"train": 0, "validation": train, "test": train + held}[self.split]
        return [replace(video, first=first, clips=train if self.split == "train" else held)]
