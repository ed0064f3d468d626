"""Clips from a user's own videos, straight from a folder of them."""

import bisect
import collections
import functools
import itertools
import operator
import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data._readers import natural
from vgm_jax.data.decode import DecodeError
from vgm_jax.data.sources._folder_videos import (
    HELD_OUT,
    SPLIT_FOLDERS,
    SPLITS,
    Video,
    by_hash,
    check_sizes,
    content_hash,
    find_videos,
    look,
)

_AHEAD = 10.0  # seconds of a film that are decoded at once where everything fits into memory
_OPEN_FILMS = 4


class Folder:
    """A random access source of clips: all windows, one after another, of all videos in a folder.

    Reads every form that `vgm_jax.data.decode` does, in the folder and all below it: films, animated
    pictures, .npy (one clip uint8 [T H W 3] or many [N T H W 3]), and folders that hold pictures and no
    video as folders of frames. Hidden files and other suffixes are passed over. Videos come in natural order
    of their names. What cannot be read, or is too short for one clip, is skipped, listed in `rejected` and
    warned of; where it turns out damaged only later, the next video's first clip stands in for its clip.

    Splits are by video, never by clip, where there is more than one:
    - folders named train and validation (or val, valid) and / or test right under `path` are the splits; if
      one of the latter two is absent, it is the other; what lies beside them is rejected, but in no split;
    - otherwise a hash of seed and name decides: 10 % validation, 10 % test. Adding videos moves no other one,
      but where a split would be empty: it then gets a video of the largest. Of two videos the second is
      both validation and test.
    - one video alone is cut in time, 80 / 10 / 10 %, and if it has fewer than three clips all splits are the
      same; both with a warning, since such a validation says little about other videos.

    Clips that were decoded are kept, at their final size, in up to `memory` MiB of each process. If
    everything fits, films are decoded ten seconds at a time, else clip by clip; reading in order goes through
    each film once.

    Args:
      path: a folder, or one video; "~" is the home folder.
      split: train, validation, test; None or "all" for everything.
      size: height and width in pixels, by `decode.RESIZE`; None: as they are, which must then all be alike.
      frames: per clip, at least 1.
      fps: frames per second; None or 0: all frames as they are, one after another.
      seed: of the splits.
      rate: frames per second of folders of frames and .npy, which do not say; 0: they are at `fps` (or 1).
      labels: whether the folders right under `path` (or under the split's folder) are classes, sorted.
      memory: MiB.

    Raises:
      ValueError: no video, no clip, frames that differ in size, a video in no class, or a number out of
        range.
      FileNotFoundError: no such path.
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
        memory: float = 1024.0,
    ):
        if not str(path):
            raise ValueError("data.path is empty: give a folder of videos, --config.data.path=DIR")
        self.path, self.split = Path(path).expanduser(), split or "all"
        if self.split not in (*SPLITS, "all"):
            raise ValueError(f"the splits of a folder are {', '.join(SPLITS)} and all; got {split!r}")
        self.size, self.frames, self.fps = size or None, operator.index(frames), float(fps or 0.0)
        self.seed, self.labels, self.memory = operator.index(seed), bool(labels), float(memory)
        if self.frames < 1 or not 0 <= self.fps < float("inf") or (size or 1) < 1 or rate < 0:
            raise ValueError(
                f"{self.path}: expected size and frames >= 1, fps and rate >= 0; "
                f"got size={size}, frames={frames}, fps={fps}, rate={rate}"
            )
        self.rate = float(rate)
        found = find_videos(self.path)
        videos, self.rejected = self._look_at(found)
        if not videos:
            self._nothing(len(found))
        if self.size is None:
            check_sizes(videos)
        first = {name.split("/")[0] for name in (video.name for video in videos) if "/" in name}
        parts = {SPLIT_FOLDERS[name] for name in first if name in SPLIT_FOLDERS}
        self._named_splits = "train" in parts and len(parts) > 1
        self._labels = self._find_labels(videos) if self.labels else {}
        self.videos = self._of_split(videos)
        self._ends = np.cumsum([video.clips for video in self.videos]).tolist()
        if self.rejected:
            name, reason = self.rejected[0]
            warnings.warn(
                f"{self.path}: {len(self.rejected)} video(s) skipped, such as {name}: {reason}", stacklevel=2
            )
        pixels = [(self.size**2 if self.size else v.height * v.width) * v.clips for v in self.videos]
        fits = 3 * self.frames * sum(pixels) <= self.memory * 2**20
        self._ahead = _AHEAD if fits else 0.0
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[tuple[int, int], _Run] = collections.OrderedDict()
        self._bytes = 0
        self._films: collections.OrderedDict[int, tuple[int, Iterator]] = collections.OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_kept", "_bytes", "_films")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    # ------------------------------------------------------------------ what a user sees
    def __len__(self) -> int:
        return self._ends[-1]

    def __repr__(self) -> str:
        settings = ("split", "size", "frames", "fps", "seed", "rate", "labels")
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in settings)
        return f"Folder({str(self.path)!r}, {shown})"

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """Everything that determines the clips, fit for JSON.

        "sha256" is over the sorted (name, bytes, SHA-256) of the files that the clips come from. They are
        read for it, once, on first use: about a second per gigabyte.
        """
        settings = ("split", "size", "frames", "fps", "seed", "rate", "labels")
        return (
            {"source": "folder", "resize": decode.RESIZE if self.size else None}
            | {name: getattr(self, name) for name in settings}
            | {"videos": len(self.videos), "clips": len(self)}
            | {"sha256": content_hash(self.videos)}
        )

    def class_names(self) -> tuple[str, ...]:
        """Names of the values of "label"; none without `labels`."""
        return tuple(self._labels)

    @property
    def num_classes(self) -> int:
        return len(self._labels)

    def origin(self, index: int) -> tuple[str, float]:
        """Name of the video that a clip is of, and the second at which it starts there."""
        video, clip = self._locate(index)
        return self.videos[video].name, float(self.videos[video].times[clip * self.frames])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T, H, W, 3], "times" float32 [T] from its start and, if asked, "label".

        Raises:
          IndexError: for an index under 0 or not under `len`.
          DecodeError: when no video decodes any more.
        """
        video, clip = self._locate(index)
        for _ in range(len(self.videos) + 1):
            source = self.videos[video]
            try:
                frames = self._clip(video, clip)
                break
            except DecodeError as error:
                self._reject(source.name, error.why)
                video = (video + 1) % len(self.videos)
                clip = self.videos[video].first
        else:
            raise DecodeError(self.path, f"no clip decodes any more; the first: {self.rejected[0]}")
        times = source.times[clip * self.frames : (clip + 1) * self.frames]
        item = {"video": frames.copy(), "times": (times - times[0]).astype(np.float32)}
        if self.labels:
            item["label"] = np.int32(self._labels[self._class_of(source.name)])
        return item

    # ------------------------------------------------------------------ index
    def _look_at(self, found: list[tuple[str, Path]]) -> tuple[list[Video], list[tuple[str, str]]]:
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            looks = list(pool.map(lambda pair: look(pair[1], self.rate or self.fps or 1.0), found))
        videos, rejected = [], []
        for (name, path), seen in zip(found, looks, strict=True):
            if isinstance(seen, str):
                rejected.append((name, seen))
                continue
            scan, tolerance, items = seen
            seconds = float(scan.times[-1])
            times = scan.times[:-1]
            if self.fps:
                times = np.arange(decode.grid(seconds, self.fps, tolerance)) / self.fps
            if len(times) < self.frames:
                rate = f" at {self.fps:g} frames a second" if self.fps else ""
                rejected.append((name, f"too short: {len(times)} of {self.frames} frames{rate}"))
                continue
            for item in [None] if items is None else range(items):
                label = name if item is None else f"{name}#{item}"
                clips = len(times) // self.frames
                videos.append(Video(label, path, item, times, scan.height, scan.width, 0, clips))
        return videos, rejected

    def _nothing(self, found: int) -> None:
        if not found:
            raise ValueError(f"{self.path}: no video; expected {', '.join(decode.SUFFIXES)}, or pictures")
        short = sum(reason.startswith("too short") for _, reason in self.rejected)
        name, reason = self.rejected[0]
        raise ValueError(
            f"{self.path}: none of its {found} video(s) gives a clip of {self.frames} frames: {short} too "
            f"short, {found - short} unreadable; the first, {name}: {reason}"
        )

    def _class_of(self, name: str) -> str | None:
        folders = name.split("/")[1 if self._named_splits else 0 : -1]
        return folders[0] if folders else None

    def _find_labels(self, videos: list[Video]) -> dict[str, int]:
        for video in videos:
            if self._class_of(video.name) is None:
                raise ValueError(f"{self.path}: labels=True, but {video.name} is in no class folder")
        names = sorted({self._class_of(video.name) for video in videos}, key=natural)
        return {name: i for i, name in enumerate(names)}

    def _of_split(self, videos: list[Video]) -> list[Video]:
        if self.split == "all":
            return videos
        if self._named_splits:
            parts = [SPLIT_FOLDERS.get(video.name.split("/")[0]) for video in videos]
            self.rejected += [
                (video.name, "beside the folders of the splits, so in none")
                for video, part in zip(videos, parts, strict=True)
                if part is None
            ]
            other = {"validation": "test", "test": "validation"}
            wanted = self.split if self.split in parts else other[self.split]
            return [video for video, part in zip(videos, parts, strict=True) if part == wanted]
        if len(videos) > 1:
            part = by_hash([video.name for video in videos], self.seed)
            return [video for video in videos if self.split in part[video.name]]
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

    # ------------------------------------------------------------------ clips
    def _locate(self, index: int) -> tuple[int, int]:
        """Place of a clip's video in `videos`, and the clip's number in that video."""
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} {self.split}: index {index} is not in 0..{len(self) - 1}")
        video = bisect.bisect_right(self._ends, index)
        source = self.videos[video]
        return video, source.first + index - (self._ends[video] - source.clips)

    def _reject(self, name: str, why: str) -> None:
        with self._lock:
            known = any(name == other for other, _ in self.rejected)
            if not known:
                self.rejected.append((name, why))
        if not known:
            warnings.warn(f"{self.path}: {name} skipped: {why}", stacklevel=3)

    def _clip(self, video: int, clip: int) -> np.ndarray:
        """uint8 [T H W 3], kept: not to be written to."""
        source = self.videos[video]
        seconds = (
            source.times[self.frames * (source.first + 1) - 1] - source.times[self.frames * source.first]
        )
        run = max(1, int(self._ahead / max(seconds, 1e-3)))
        start = source.first + (clip - source.first) // run * run
        with self._lock:
            kept = self._kept.get((video, start))
            if kept is not None:
                self._kept.move_to_end((video, start))
        if kept is None:
            kept = self._read(video, start, min(start + run, source.first + source.clips))
            self._keep((video, start), kept)
        if clip - start >= len(kept.clips):
            raise kept.error
        return kept.clips[clip - start]

    def _read(self, video: int, start: int, stop: int) -> "_Run":
        """Clips start..stop of a video, going on in the open film where it stands at `start`."""
        source, t = self.videos[video], self.frames
        with self._lock:
            at, film = self._films.pop(video, (None, None))
        if at != start:
            times = source.times[start * t : (source.first + source.clips) * t]
            settings = {"size": self.size, "item": source.item, "rate": self.rate or self.fps or 1.0}
            film = decode.iterate_frames(source.path, times, **settings)
        clips = []
        try:
            for _ in range(start, stop):
                clip = [frame for frame, _ in itertools.islice(film, t)]
                if self.size is None and any(f.shape[:2] != (source.height, source.width) for f in clip):
                    raise DecodeError(source.path, "its frames change their size: give a size")
                clips.append(np.stack(clip))
        except DecodeError as error:
            return _Run(clips, error)
        with self._lock:
            if stop < source.first + source.clips:
                self._films[video] = stop, film
            if len(self._films) > _OPEN_FILMS:
                self._films.popitem(last=False)
        return _Run(clips, None)

    def _keep(self, key: tuple[int, int], run: "_Run") -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = run
            self._bytes += run.size
            while self._bytes > self.memory * 2**20 and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].size


@dataclass(frozen=True)
class _Run:
    """Clips that follow one another, and what kept the next one from being read."""

    clips: list[np.ndarray]
    error: DecodeError | None

    @property
    def size(self) -> int:
        return sum(clip.nbytes for clip in self.clips)
