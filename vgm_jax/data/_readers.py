"""What `decode` reads frames with: one reader for files of PyAV, one for pictures that come one by one."""

import contextlib
import functools
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

from vgm_jax.data._pixels import Look, quarter_turns

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
EXACT = 1e-6  # seconds
# Containers whose timestamps are the same after a jump: not so in an MPEG program stream, and a gif's frames,
# all marked as key frames, paint over those before.
_SEEKABLE = ("mp4", "matroska", "avi", "mpegts", "flv", "asf")
INTERVAL = 1 / 25  # seconds, of a film that does not tell its frame rate


class DecodeError(ValueError):
    """A file that cannot be read as a video: `path`, and `why` in a few words."""

    def __init__(self, path: str | os.PathLike, why: str):
        super().__init__(str(path), why)  # both, so that it survives pickling
        self.path, self.why = Path(path), why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(frozen=True)
class Shown:
    """A frame: from when to when, in seconds from the film's first frame, and whether it is the last one.

    `picture(look)` is uint8 [H W 3].
    """

    start: float
    end: float
    last: bool
    picture: Callable[[Look], np.ndarray]


@dataclass(frozen=True)
class Scan:
    """times float64 [N + 1]: when each frame comes, in seconds from the first, and when the last one goes.

    Height and width are in pixels, upright. `complete`: whether the whole file was looked at.
    """

    times: np.ndarray
    height: int
    width: int
    complete: bool


def natural(name: str) -> list[Any]:
    """Sorting key under which frame_2 comes before frame_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


# ---------------------------------------------------------------------------------------------------------- #
# Films
# ---------------------------------------------------------------------------------------------------------- #


class Film:
    """A file that PyAV reads, with one thread, so that files can be read side by side."""

    def __init__(self, path: Path):
        self.path, self.container = path, None
        try:
            if not path.stat().st_size:
                raise DecodeError(path, "the file is empty")
        except OSError as error:
            raise DecodeError(path, f"cannot be read ({reason(error)})") from None
        try:
            self._open()
        except DecodeError:
            self.close()
            raise

    def _open(self) -> None:
        self.close()
        # Playlists are videos too, for FFmpeg: they must not reach out to the network.
        options = {"protocol_whitelist": "file"}
        try:
            self.container = av.open(str(self.path.absolute()), options=options, metadata_errors="ignore")
        except (av.error.FFmpegError, OSError) as error:
            raise DecodeError(self.path, f"not a video that can be read ({reason(error)})") from None
        videos = self.container.streams.video
        videos = [video for video in videos if not video.disposition & Disposition.attached_pic]
        if not videos:
            raise DecodeError(self.path, "it has no video stream")
        self.stream = videos[0]
        self.stream.codec_context.thread_count = 1
        self.base = self.stream.time_base
        self.tick = float(self.base)
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.rate = float(rate) if rate else None
        self.interval = 1 / self.rate if self.rate else INTERVAL
        # By how much a timestamp may be late: rounding, where ticks are finer than frames.
        self.tolerance = max(0.51 * self.tick, EXACT) if self.tick <= self.interval / 3 else EXACT
        self.has_audio = bool(self.container.streams.audio)
        index = self.stream.index_entries
        end, size = max((entry.pos + entry.size for entry in index), default=0), self.path.stat().st_size
        if end > size:
            raise DecodeError(self.path, f"truncated: its index goes to byte {end}, the file ends at {size}")

    @property
    def seconds(self) -> float | None:
        """What the header says."""
        if self.stream.duration:
            return _seconds(self.stream.duration, self.base)
        return self.container.duration / 1e6 if self.container.duration else None

    def close(self) -> None:
        if self.container is not None:
            self.container.close()

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(self.stream)
        except av.error.FFmpegError as error:
            raise DecodeError(self.path, f"damaged ({reason(error)})") from None

    def _decoded(self) -> Iterator[av.VideoFrame]:
        seen = False
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if seen:
                    raise DecodeError(self.path, f"damaged after its beginning ({reason(error)})") from None
                continue  # a recording may begin between two key frames
            seen = seen or bool(frames)
            yield from frames

    def scan(self, limit: int | None = None) -> Scan:
        """Looks at the timestamps of all packets, or the first `limit`; decodes one frame."""
        stamps, durations, first, complete = [], [], None, True
        for packet in self._packets():
            if packet.size and not packet.is_discard:
                stamps.append(packet.dts if packet.pts is None else packet.pts)
                durations.append(packet.duration or 0)
            if first is None:
                with contextlib.suppress(av.error.FFmpegError):
                    first = next(iter(packet.decode()), None)
            if limit is not None and first is not None and len(stamps) >= limit:
                complete = False
                break
        if first is None:
            raise DecodeError(self.path, "no frame decodes")
        clock = _Clock(self.base, self.interval)
        order = sorted(range(len(stamps)), key=lambda i: (stamps[i] is not None, stamps[i]))
        times = [clock(stamps[i]) for i in order]
        times.append(times[-1] + (_seconds(durations[order[-1]], self.base) or self.interval))
        turned = quarter_turns(first) % 2
        height, width = (first.width, first.height) if turned else (first.height, first.width)
        return Scan(np.array(times) - times[0], height, width, complete)

    def shown(self, start: float = 0.0) -> Iterator[Shown]:
        """All frames, from one that comes not after `start` on; by seeking where that is possible."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            raise DecodeError(self.path, "no frame decodes")
        origin, stamped = _seconds(first.pts or 0, self.base), first.pts is not None
        if stamped and start > 1 and any(name in self.container.format.name for name in _SEEKABLE):
            sought = self._seek(origin, start)
            if sought is not None:
                yield from self._timed(*sought, origin)
                return
            self._open()
            frames = self._decoded()
            first = next(frames, first)
        yield from self._timed(first, frames, origin)

    def _seek(self, origin: float, start: float) -> tuple[av.VideoFrame, Iterator[av.VideoFrame]] | None:
        # Some indices go by decoding time: the key frame found may come a little late.
        for back in (0.0, 2.0, 10.0):
            if start - back <= 0:
                break
            try:
                self.container.seek(int((origin + start - back) / self.tick), stream=self.stream)
                frames = self._decoded()
                first = next(frames, None)
            except (av.error.FFmpegError, DecodeError):
                break
            late = first is None or first.pts is None
            if not late and _seconds(first.pts, self.base) - origin <= start:
                return first, frames
        return None

    def _timed(self, first: av.VideoFrame, rest: Iterator[av.VideoFrame], origin: float) -> Iterator[Shown]:
        clock, reformatter = _Clock(self.base, self.interval), VideoReformatter()
        frame, start = first, clock(first.pts)
        while frame is not None:
            after = next(rest, None)
            if after is None:
                end = start + (_seconds(frame.duration or 0, self.base) or self.interval)
            else:
                end = clock(after.pts)
            picture = functools.partial(_film_picture, frame, reformatter)
            yield Shown(start - origin, end - origin, after is None, picture)
            frame, start = after, end


class _Clock:
    """Timestamps to seconds that increase: one that is missing or goes back counts as a usual step on."""

    def __init__(self, base: Fraction, interval: float):
        self.base, self.interval, self.last = base, interval, None

    def __call__(self, stamp: int | None) -> float:
        time = None if stamp is None else _seconds(stamp, self.base)
        if self.last is None:
            time = time or 0.0
        elif time is None or time <= self.last:
            time = self.last + self.interval
        self.last = time
        return time


def _seconds(stamp: int, base: Fraction) -> float:
    return stamp * base.numerator / base.denominator  # rounded once


def _film_picture(frame: av.VideoFrame, reformatter: VideoReformatter, look: Look) -> np.ndarray:
    return look.of_frame(frame, reformatter)


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# ---------------------------------------------------------------------------------------------------------- #
# Pictures
# ---------------------------------------------------------------------------------------------------------- #


class Stills:
    """Pictures one by one: `load(i)` is uint8 [H W C]; times float64 [N + 1] as in `Scan`."""

    has_audio = False
    tick, tolerance = 0.0, EXACT

    def __init__(self, path: Path, times: np.ndarray, load: Callable[[int], np.ndarray], close=None):
        self.path, self.times, self.load, self._close = path, times, load, close
        self.seconds = float(times[-1])
        self.rate = (len(times) - 1) / self.seconds
        self.interval = 1 / self.rate

    def close(self) -> None:
        if self._close is not None:
            self._close()

    def scan(self, limit: int | None = None) -> Scan:
        return Scan(self.times, *self.load(0).shape[:2], True)

    def shown(self, start: float = 0.0) -> Iterator[Shown]:
        first = max(int(np.searchsorted(self.times[:-1], start, side="right")) - 1, 0)
        for i in range(first, len(self.times) - 1):
            last = i == len(self.times) - 2
            yield Shown(self.times[i], self.times[i + 1], last, functools.partial(self._picture, i))

    def _picture(self, i: int, look: Look) -> np.ndarray:
        return look.of_array(self.load(i))


def frame_folder(path: Path, rate: float) -> Stills:
    """The pictures of a folder, in natural order of their names."""
    names = sorted((name for name in os.listdir(path) if is_image(name)), key=natural)
    if not names:
        raise DecodeError(path, f"the folder holds no {', '.join(IMAGE_SUFFIXES)} picture")

    def load(i: int) -> np.ndarray:
        try:
            with Image.open(path / names[i]) as image:
                return _image_pixels(ImageOps.exif_transpose(image))
        except (OSError, ValueError, SyntaxError) as error:
            raise DecodeError(path / names[i], f"not a picture that can be read ({error})") from None

    return Stills(path, np.arange(len(names) + 1) / rate, load)


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def array_file(path: Path, rate: float, item: int | None) -> Stills:
    """An .npy file uint8 [T H W C], or clip `item` of one that is uint8 [N T H W C]."""
    array = open_array(path)
    if (array.ndim == 5) != (item is not None):
        raise DecodeError(path, f"it holds {'many clips' if item is None else 'one clip'}: {array.shape}")
    clip = array if item is None else array[item]
    return Stills(path, np.arange(len(clip) + 1) / rate, lambda i: np.asarray(clip[i]))


def map_array(path: Path) -> np.ndarray:
    """An .npy file, mapped and not read. Raises as `np.load`."""
    for _ in range(9):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except SystemError:
            # CPython 3.11 may fail to parse the header while another thread collects garbage.
            continue
    return np.load(path, mmap_mode="r", allow_pickle=False)


def open_array(path: Path) -> np.ndarray:
    """uint8 [T H W C] or [N T H W C], mapped and not read. DecodeError says what else it is."""
    try:
        array = map_array(path)
    except (OSError, ValueError, EOFError) as error:
        raise DecodeError(path, f"not an array that can be read ({error})") from None
    expected = "expected uint8 [T H W 3] or [N T H W 3], values 0..255"
    if array.dtype != np.uint8:
        numbers = array.dtype.kind in "fiub" and array.ndim > 0
        sample = np.asarray(array[:1]) if numbers else np.zeros(0)
        found = f"values {sample.min():g}..{sample.max():g}" if sample.size else "no pictures"
        hint = ""
        if array.dtype.kind == "f":
            hint = (
                ": multiply by 255, round and convert" if sample.size and sample.max() <= 1 else ": convert"
            )
        raise DecodeError(path, f"{expected}; it is {array.dtype} {array.shape}, {found}{hint}")
    if array.ndim not in (4, 5) or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise DecodeError(path, f"{expected}; it is {array.dtype} {array.shape}")
    return array


def animated_webp(path: Path) -> Stills:
    """PyAV reads no animated webp: Pillow does."""
    durations = webp_durations(path)
    if not durations:
        raise DecodeError(path, "a still picture, or not a webp")
    try:
        image = Image.open(path, formats=["WEBP"])
    except OSError as error:
        raise DecodeError(path, f"not a webp that can be read ({error})") from None

    def load(i: int) -> np.ndarray:
        try:
            image.seek(i)
            return _image_pixels(image)
        except (OSError, EOFError, ValueError) as error:
            raise DecodeError(path, f"damaged at frame {i} ({error})") from None

    times = np.cumsum([0.0, *durations])
    return Stills(path, times, load, image.close)


def webp_durations(path: Path) -> list[float]:
    """Seconds that each frame of an animated webp stays, from its chunks; none of a still one."""
    durations = []
    try:
        with open(path, "rb") as file:
            riff = file.read(12)
            while riff[:4] == b"RIFF" and riff[8:] == b"WEBP" and len(head := file.read(8)) == 8:
                kind, size = struct.unpack("<4sI", head)
                if kind in (b"VP8 ", b"VP8L"):
                    break  # a still picture
                body = file.read(16) if kind == b"ANMF" else b""
                if len(body) == 16:
                    milliseconds = int.from_bytes(body[12:15], "little")
                    # As browsers do with delays that nobody can mean.
                    durations.append(milliseconds / 1000 if milliseconds > 10 else 0.1)
                file.seek(size + size % 2 - len(body), os.SEEK_CUR)
    except OSError as error:
        raise DecodeError(path, f"cannot be read ({reason(error)})") from None
    return durations


def _image_pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None]
    alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if alpha else "RGB"))
