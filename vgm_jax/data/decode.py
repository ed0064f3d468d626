"""Reading of videos: films, animated pictures, folders of frames, arrays.

| form | read by | time of a frame |
|---|---|---|
| mp4, mov, mkv, webm, avi, gif, ... | PyAV | its presentation time, from the first frame's |
| webp, animated | Pillow | its delays |
| folder of png, jpg or webp pictures, natural order of names | Pillow | index / rate |
| .npy uint8 [T H W C], C = 1 (grey), 3 or 4 (with alpha) | NumPy | index / rate |

At time t one sees the last frame that came at t or before: variable frame rates need nothing else. What
has alpha is laid on a background; rotation in the metadata is applied; interlaced frames stay woven.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vgm_jax.data._pixels import CROPS, RESIZE, Look
from vgm_jax.data._readers import DecodeError, Film, NoPictureError, Scan, Shown, TooShortError, check_regular
from vgm_jax.data._stills import Stills, animated_webp, array_file, frame_folder, picture

__all__ = ["RESIZE", "SUFFIXES", "DecodeError", "NoPictureError", "VideoInfo"]
__all__ += ["glimpses", "grid", "iterate_frames", "open_reader", "picture", "probe", "read_frames"]

AHEAD = 5.0  # seconds to the next time from which on it is sought, where that is possible, and not read up to
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts")
SUFFIXES += (".3gp", ".flv", ".wmv", ".ogv", ".gif", ".webp", ".npy")


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself.

    Attributes:
      frames: how many; None where only reading the whole file would tell.
      fps: mean frames a second; None where unknown.
      seconds: duration, by its header; None where unknown.
      height, width: pixels, upright.
      has_audio: whether it has sound.
      variable_rate: whether the intervals between its first 256 frames differ.
      pixel_aspect: how wide a pixel is meant to be shown, over how high: not 1 on many a DVD.
    """

    frames: int | None
    fps: float | None
    seconds: float | None
    height: int
    width: int
    has_audio: bool
    variable_rate: bool
    pixel_aspect: Fraction = Fraction(1)


def probe(path: str | os.PathLike, *, rate: float = 1.0) -> VideoInfo:
    """Describes a video from its header, the times of 256 frames and one decoded frame.

    Raises DecodeError where there is no video, or its first frame does not decode.
    """
    reader = open_reader(Path(path), rate, None)
    try:
        scan = reader.scan(limit=256)
        if scan.complete:
            frames, seconds = len(scan.times) - 1, float(scan.times[-1])
            fps = frames / seconds
        else:
            frames, seconds, fps = reader.stream.frames or None, reader.seconds, reader.rate
        steps = np.diff(scan.times[:-1])
        variable = len(steps) > 0 and np.ptp(steps) > 2.01 * reader.tick + 1e-6
        form = scan.height, scan.width, reader.has_audio, bool(variable), scan.aspect
        return VideoInfo(frames, fps, seconds, *form)
    finally:
        reader.close()


def scan(path: str | os.PathLike, *, rate: float = 1.0, item: int | None = None) -> tuple[Scan, float]:
    """When every frame of a video comes, from its packets; only its first frame is decoded.

    Returns its times, height and width, and the tolerance (seconds) that its times are compared with.
    Raises DecodeError as `probe`.
    """
    reader = open_reader(Path(path), rate, item)
    try:
        found = reader.scan()
        return found, reader.tolerance
    finally:
        reader.close()


def grid(seconds: float, fps: float, tolerance: float = 1e-6) -> int:
    """How many of the times 0, 1 / fps, 2 / fps, ... fall within a video of so many seconds."""
    return max(math.ceil((seconds - 2 * tolerance) * fps - 1e-6), 0)


def iterate_frames(
    path: str | os.PathLike,
    times: Sequence[float] | np.ndarray | None = None,
    *,
    fps: float | None = None,
    start: float = 0.0,
    count: int | None = None,
    size: int | tuple[int, int] | None = None,
    crop: str = "centre",
    background: tuple[int, int, int] = (0, 0, 0),
    rate: float | None = None,
    item: int | None = None,
) -> Iterator[tuple[np.ndarray, float]]:
    """Frames one by one; memory does not grow with the film's length.

    Args:
      path: of any form that the module's docstring lists.
      times: seconds from the first frame, not decreasing: what is shown at each; what is far ahead is sought
        where that is possible. Excludes fps and start.
      fps: frames a second, by presentation time; None or 0: all frames as they are.
      start: seconds from the first frame at which to begin; long films are sought, exactly.
      count: frames; by default all there are.
      size: side of a square, or (height, width); None: as they are.
      crop: "centre": the largest part of the wanted aspect; "none": the whole frame is squeezed into it.
      background: colour under what is transparent.
      rate: frames a second of folders of pictures and arrays, which do not say; by default fps, or else 1.
      item: which clip of an .npy that is [N T H W C].

    Yields:
      frame uint8 [H W 3], not to be written to, and its time: as in `times`, or seconds from `start`, or,
      with neither fps nor times, from the first frame given.

    Raises:
      DecodeError: not a video, damaged, truncated, or fewer frames than asked for; naming the file.
      ValueError: for arguments out of their range.
    """
    _check(times, fps, start, count, size, crop, rate)
    size = None if size is None else tuple(np.broadcast_to(size, 2).tolist())
    look = Look(size, crop, tuple(background))
    return _iterate(Path(path), times, fps, start, count, look, rate, item)


def glimpses(
    path: str | os.PathLike, count: int = 16, *, rate: float = 1.0, item: int | None = None
) -> Iterator[np.ndarray]:
    """Frames uint8 [H W 3] from all over a video that take little time; what cannot be read is left out.

    At most `count` key frames, which decode alone, and then as many frames, a quarter of a second apart, from
    its beginning.
    """
    with contextlib.suppress(DecodeError):
        with contextlib.closing(open_reader(Path(path), rate, item, partial=True)) as reader:
            for picture in reader.key_frames(count):
                yield picture(Look())
        with contextlib.closing(open_reader(Path(path), rate, item, partial=True)) as reader:
            given = 0
            for frame in reader.shown():
                if frame.start >= 0.25 * given:
                    yield frame.picture(Look())
                    given += 1
                if given == count:
                    return


def read_frames(
    path: str | os.PathLike, times: Sequence[float] | np.ndarray | None = None, **settings
) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 [T H W 3] and times float32 [T]; arguments and errors are those of `iterate_frames`."""
    pairs = list(iterate_frames(path, times, **settings))
    if not pairs:
        raise DecodeError(path, "no frame was asked for")
    shapes = [frame.shape for frame, _ in pairs]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise DecodeError(path, f"frame {i} is {shape}, the first {shapes[0]}: give a size")
    return np.stack([frame for frame, _ in pairs]), np.array([time for _, time in pairs], np.float32)


# ---------------------------------------------------------------------------------------------------------- #
# Parts
# ---------------------------------------------------------------------------------------------------------- #


def open_reader(
    path: Path, rate: float = 1.0, item: int | None = None, partial: bool = False
) -> Film | Stills:
    """What gives a video's frames, for those who want more of each than `iterate_frames` gives; to be closed.

    Arguments as `iterate_frames`; `partial`: whether a film may be cut off. Raises DecodeError.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return frame_folder(path, rate)
    check_regular(path)
    if suffix == ".npy":
        return array_file(path, rate, item)
    return animated_webp(path) if suffix == ".webp" else Film(path, partial)


def _check(times, fps, start, count, size, crop, rate) -> None:
    if times is not None and (fps or start or count is not None):
        raise ValueError("times excludes fps, start and count")
    if times is not None:
        row = np.asarray(times, np.float64)
        if row.ndim != 1 or not np.isfinite(row).all() or (row < 0).any() or (np.diff(row) < 0).any():
            raise ValueError("times must be a row of seconds >= 0 that do not decrease")
    for name, value in (("fps", fps), ("rate", rate)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be positive, got {value}")
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start must be seconds >= 0, got {start}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if size is not None and min(np.atleast_1d(size)) < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if crop not in CROPS:
        raise ValueError(f"crop must be one of {', '.join(CROPS)}, got {crop!r}")


def _iterate(path, times, fps, start, count, look, rate, item):
    reader = open_reader(path, rate or fps or 1.0, item)
    try:
        if times is not None:
            shown = _at(reader, [float(t) for t in times])
        elif fps:
            shown = _sampled(reader, fps, start, count)
        else:
            shown = _native(reader, start, count)
        last, image = None, None
        for frame, time in shown:
            if frame is not last:
                last, image = frame, frame.picture(look)
            yield image, time
    finally:
        reader.close()


def _native(reader: Film | Stills, start: float, count: int | None) -> Iterator[tuple[Shown, float]]:
    given, origin, end = 0, 0.0, 0.0
    for frame in reader.shown(start):
        end = frame.end
        if end - reader.tolerance <= start:
            continue
        origin = frame.start if not given else origin
        yield frame, frame.start - origin
        given += 1
        if given == count:
            return
    _check_given(reader, given, count, start, end)


def _sampled(
    reader: Film | Stills, fps: float, start: float, count: int | None
) -> Iterator[tuple[Shown, float]]:
    given, end = 0, 0.0
    for frame in reader.shown(start):
        end = frame.end
        # The next frame may be late by the tolerance. What `grid` counts: after the last one none comes.
        margin = 2 * reader.tolerance + 1e-6 / fps if frame.last else reader.tolerance
        while given != count and start + given / fps < end - margin:
            yield frame, given / fps
            given += 1
        if given == count:
            return
    _check_given(reader, given, count, start, end)


def _at(reader: Film | Stills, times: list[float]) -> Iterator[tuple[Shown, float]]:
    given, end = 0, 0.0
    while given < len(times):
        for frame in reader.shown(times[given]):
            # The end itself may be asked for, and what an index promised may be a frame short.
            end, before = frame.end, given
            until = end + reader.interval if frame.last else end - reader.tolerance
            while given < len(times) and times[given] < until:
                yield frame, times[given]
                given += 1
            if given == len(times):
                return
            # Once after each that was given: a key frame may be as far before the next as this one.
            if given > before and not frame.last and reader.seekable and times[given] > end + AHEAD:
                break
        else:
            raise TooShortError(
                reader.path,
                f"fewer frames than asked for: {given} of {len(times)}; none at {times[given]:.3f} s, "
                f"it lasts {end:.3f} s",
            )


def _check_given(reader: Film | Stills, given: int, count: int | None, start: float, end: float) -> None:
    if not given or (count is not None and given < count):
        asked = count or "at least 1"
        raise TooShortError(
            reader.path,
            f"fewer frames than asked for: {given} of {asked} from {start:g} s on; it lasts {end:.3f} s",
        )
