"""Clips of videos, one after another: what all sources that read video files share."""

import bisect
import collections
import contextlib
import functools
import hashlib
import itertools
import json
import math
import operator
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data._stills import is_image, open_array
from vgm_jax.data.audio import SAMPLE_RATE, Sound, open_audio
from vgm_jax.data.decode import DecodeError

_MOST = 2**22  # frames of a video: four days at 12 a second
_AHEAD = 10.0  # seconds of a film that are decoded at once where everything fits into memory
_OPEN_FILMS = 4


@dataclass(frozen=True)
class Entry:
    """A video to look at: its name in the source, its file, class if it has one, and seconds to use."""

    name: str
    path: Path
    label: int | None = None
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True)
class Video:
    """A video that gives clips, or one clip of an .npy that holds many.

    Attributes:
      name: of its entry, with "#3" behind it for clip 3 of an .npy.
      path, item: what `decode` reads.
      times: float64 [clips * frames], or longer: seconds from its first frame, of the frames of its clips.
      height, width: of its frames, upright.
      first, clips: which of its clips, one after another, belong to the split.
      label: of its class; None: it has none.
    """

    name: str
    path: Path
    item: int | None
    times: np.ndarray
    height: int
    width: int
    first: int
    clips: int
    label: int | None = None


class Clips:
    """A random access source of all windows of `frames` frames of some videos.

    A subclass calls `_settings`, looks at its videos by `_look_at`, and hands those of its split to `_use`.
    What cannot be read, or is too short for one clip, is listed in `rejected`; where a video turns out
    damaged only later, a clip of the next one stands in for its clip, or, of no other, an earlier one of it.

    Clips that were decoded are kept, at their final size, in up to `memory` MiB of each process. If
    everything fits, films are decoded ten seconds at a time, else clip by clip; reading in order goes through
    each film once.
    """

    def _settings(
        self,
        path: str | os.PathLike,
        split: str,
        *,
        size: int | None,
        frames: int,
        fps: float | None,
        rate: float,
        memory: float,
        audio: bool = False,
    ) -> None:
        self.path, self.split = Path(path).expanduser(), split
        self.size, self.frames, self.fps = size or None, operator.index(frames), float(fps or 0.0)
        self.rate, self.memory, self.audio = float(rate), float(memory), bool(audio)
        if self.frames < 1 or not 0 <= self.fps < float("inf") or (size or 1) < 1 or rate < 0:
            raise ValueError(
                f"{self.path}: expected size and frames >= 1, fps and rate >= 0; "
                f"got size={size}, frames={frames}, fps={fps}, rate={rate}"
            )
        if self.audio and not self.fps:
            raise ValueError(f"{self.path}: with audio, all clips must last as long: give fps, got {fps}")
        self.rejected: list[tuple[str, str]] = []

    def _use(self, videos: list[Video]) -> None:
        """The videos whose clips the source has; warns of what was rejected."""
        self.videos = videos
        self._ends = np.cumsum([video.clips for video in videos]).tolist()
        self._stand_ins: dict[int, tuple[int, int]] = {}  # index -> video, clip
        if self.rejected:
            name, reason = self.rejected[0]
            warnings.warn(
                f"{self.path}: {len(self.rejected)} video(s) skipped, such as {name}: {reason}", stacklevel=3
            )
        pixels = sum((self.size**2 if self.size else v.height * v.width) * v.clips for v in videos)
        samples = round(SAMPLE_RATE * self.frames / self.fps) * self._ends[-1] if self.audio else 0
        fits = 3 * self.frames * pixels + 4 * samples <= self.memory * 2**20
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

    def __len__(self) -> int:
        return self._ends[-1]

    def origin(self, index: int) -> tuple[str, float]:
        """Name of the video that a clip is of, and the second at which it starts there."""
        video, clip = self._locate(index)
        return self.videos[video].name, float(self.videos[video].times[clip * self.frames])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item: "video" uint8 [T, H, W, 3], "times" float32 [T] from its start and, with classes, "label".

        And "audio", where the source has it: float32 [round(16000 * T / fps)], silence where a video has no
        sound.

        Raises:
          IndexError: for an index under 0 or not under `len`.
          DecodeError: when no video decodes any more.
        """
        for video, clip in self._candidates(index):
            source = self.videos[video]
            try:
                frames, sound = self._clip(video, clip)
                break
            except DecodeError as error:
                self._reject(source.name, error.why)
        else:
            raise DecodeError(self.path, f"no clip decodes any more; the first: {self.rejected[0]}")
        if (video, clip) != self._locate(index):
            self._stand_ins[operator.index(index)] = video, clip
        times = source.times[clip * self.frames : (clip + 1) * self.frames]
        item = {"video": frames.copy(), "times": (times - times[0]).astype(np.float32)}
        if sound is not None:
            item["audio"] = sound.copy()
        if source.label is not None:
            item["label"] = np.int32(source.label)
        return item

    def _shown(self, index: int) -> Video:
        """The video that a clip is of: its own, or the one that `[index]` found to stand in for it."""
        return self.videos[self._found(index)[0]]

    def _found(self, index: int) -> tuple[int, int]:
        """Video and clip of an index, or those that stand in for them."""
        return self._stand_ins.get(operator.index(index)) or self._locate(index)

    def _span(self, index: int) -> tuple[float, float]:
        """From when to when a clip is, in seconds from the first frame of the video `_shown`."""
        shown, clip = self._found(index)
        video = self.videos[shown]
        times = video.times[clip * self.frames : (clip + 1) * self.frames]
        step = 1 / self.fps if self.fps else (times[-1] - times[0]) / max(self.frames - 1, 1) or 1e-3
        return float(times[0]), float(times[-1] + step)

    # ------------------------------------------------------------------ videos
    def _look_at(self, entries: Sequence[Entry]) -> list[Video]:
        """The videos that give a clip; the others go into `rejected`. Raises ValueError where none does."""
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            looks = list(pool.map(lambda entry: look(entry.path, self.rate or self.fps or 1.0), entries))
        videos = []
        for entry, seen in zip(entries, looks, strict=True):
            if isinstance(seen, str):
                self.rejected.append((entry.name, seen))
                continue
            scan, tolerance, items = seen
            if scan.times[-1] * self.fps > _MOST:
                hours = f"{scan.times[-1] / 3600:.0f} hours"
                self.rejected.append((entry.name, f"broken timestamps, or too long: {hours}"))
                continue
            times = self._times(scan, tolerance, entry)
            if len(times) < self.frames:
                rate = f" at {self.fps:g} frames a second" if self.fps else ""
                self.rejected.append((entry.name, f"too short: {len(times)} of {self.frames} frames{rate}"))
                continue
            for item in [None] if items is None else range(items):
                name = entry.name if item is None else f"{entry.name}#{item}"
                clips = len(times) // self.frames
                size = scan.height, scan.width
                videos.append(Video(name, entry.path, item, times, *size, 0, clips, entry.label))
        if not videos:
            self._nothing(len(entries))
        if self.size is None:
            check_sizes(videos)
        return videos

    def _times(self, scan: decode.Scan, tolerance: float, entry: Entry) -> np.ndarray:
        """float64 [N]: seconds from the file's first frame, of the frames within the entry's part of it."""
        end = min(float(scan.times[-1]), entry.end)
        if self.fps:
            return entry.start + np.arange(decode.grid(end - entry.start, self.fps, tolerance)) / self.fps
        times = scan.times[:-1]
        return times[(times > entry.start - tolerance) & (times < end - tolerance)]

    def _nothing(self, found: int) -> None:
        short = sum(reason.startswith("too short") for _, reason in self.rejected)
        name, reason = self.rejected[0]
        raise ValueError(
            f"{self.path}: none of its {found} video(s) gives a clip of {self.frames} frames: {short} too "
            f"short, {found - short} unreadable; the first, {name}: {reason}"
        )

    # ------------------------------------------------------------------ clips
    def _locate(self, index: int) -> tuple[int, int]:
        """Place of a clip's video in `videos`, and the clip's number in that video."""
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} {self.split}: index {index} is not in 0..{len(self) - 1}")
        video = bisect.bisect_right(self._ends, index)
        source = self.videos[video]
        return video, source.first + index - (self._ends[video] - source.clips)

    def _candidates(self, index: int) -> Iterator[tuple[int, int]]:
        """A clip's video and number there, and then those that may stand in for it."""
        own, clip = self._locate(index)
        yield own, clip
        for video in ((own + k) % len(self.videos) for k in range(1, len(self.videos))):
            yield video, self.videos[video].first + index % self.videos[video].clips
        first = self.videos[own].first
        while clip > first:  # what is before the damage, all over it
            clip = first + (clip - first) // 2
            yield own, clip

    def _reject(self, name: str, why: str) -> None:
        with self._lock:
            known = any(name == other for other, _ in self.rejected)
            if not known:
                self.rejected.append((name, why))
        if not known:
            warnings.warn(f"{self.path}: {name} skipped: {why}", stacklevel=3)

    def _clip(self, video: int, clip: int) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 [T H W 3] and, with audio, float32 [S]; kept: not to be written to."""
        source = self.videos[video]
        step = 1 / self.fps if self.fps else np.ptp(source.times) / max(len(source.times) - 1, 1)
        seconds = self.frames * step
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
            raise DecodeError(source.path, kept.error)
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
            # Anew for each run: a decoder of AAC makes noise of its own, which depends on the past.
            sound = open_audio(source.path) if self.audio else None
            with sound or contextlib.nullcontext():
                for clip in range(start, stop):
                    frames = [frame for frame, _ in itertools.islice(film, t)]
                    if self.size is None and any(
                        f.shape[:2] != (source.height, source.width) for f in frames
                    ):
                        raise DecodeError(source.path, "its frames change their size: give a size")
                    heard = self._heard(sound, source.times[clip * t]) if self.audio else None
                    clips.append((np.stack(frames), heard))
        except DecodeError as error:
            return _Run(clips, error.why)
        with self._lock:
            if stop < source.first + source.clips:
                self._films[video] = stop, film
            if len(self._films) > _OPEN_FILMS:
                self._films.popitem(last=False)
        return _Run(clips, None)

    def _heard(self, sound: Sound | None, start: float) -> np.ndarray:
        seconds = self.frames / self.fps
        if sound is None:
            return np.zeros(round(SAMPLE_RATE * seconds), np.float32)
        return sound.read(start, seconds)

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

    clips: list[tuple[np.ndarray, np.ndarray | None]]
    error: str | None  # not the exception: it would keep what is on its way

    @property
    def size(self) -> int:
        return sum(part.nbytes for clip in self.clips for part in clip if part is not None)


def look(path: Path, rate: float) -> tuple[decode.Scan, float, int | None] | str:
    """When a video's frames come, the tolerance, and how many clips an .npy holds; or why there is none."""
    try:
        state = path.stat()
        return _remembered(path, rate, state.st_size, state.st_mtime_ns)
    except DecodeError as error:
        return error.why
    except OSError as error:
        return error.strerror or str(error)


@functools.lru_cache(maxsize=2**16)
def _remembered(path: Path, rate: float, *stamp: int) -> tuple[decode.Scan, float, int | None]:
    array = open_array(path) if path.suffix.lower() == ".npy" and path.is_file() else None
    items = len(array) if array is not None and array.ndim == 5 else None
    scan, tolerance = decode.scan(path, rate=rate, item=None if items is None else 0)
    return scan, tolerance, items


def check_sizes(videos: list[Video]) -> None:
    first = videos[0]
    for video in videos:
        if (video.height, video.width) != (first.height, first.width):
            raise ValueError(
                f"{video.path}: frames of {video.height} x {video.width} (height x width), "
                f"those of {first.name} have {first.height} x {first.width}: give a size"
            )


def content_hash(videos: Sequence[Video]) -> str:
    """SHA-256 over the files that videos come from."""
    files = {}
    for video in videos:
        name = video.name.rsplit("#", 1)[0] if video.item is not None else video.name
        if video.path.is_dir():
            pictures = sorted(p for p in video.path.iterdir() if is_image(p.name))
            files |= {f"{name}/{p.name}": p for p in pictures}
        else:
            files[name] = video.path
    return files_hash(files)


def files_hash(files: Mapping[str, Path]) -> str:
    """SHA-256 over the sorted (name, bytes, SHA-256) of named files."""

    def line(name: str) -> str:
        with open(files[name], "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return json.dumps([name, files[name].stat().st_size, digest])

    with ThreadPoolExecutor(2) as pool:
        lines = "\n".join(pool.map(line, sorted(files)))
    return hashlib.sha256(lines.encode()).hexdigest()
