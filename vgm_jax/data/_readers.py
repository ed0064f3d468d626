"""What `decode` reads films with, and what no file may do to it; `_stills` reads pictures."""

import contextlib
import functools
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from vgm_jax.data._pixels import Look, quarter_turns

EXACT = 1e-6  # seconds
# Containers whose timestamps are the same after a jump: not so in an MPEG program stream, and a gif's frames,
# all marked as key frames, paint over those before.
_SEEKABLE = ("mp4", "matroska", "avi", "mpegts", "flv", "asf")
INTERVAL = 1 / 25  # seconds, of a film that does not tell its frame rate
LONGEST = 600.0  # seconds that a frame may stay
WIDEST = 4  # times as wide as high, a pixel
MOST_PIXELS = 2**26  # of a frame; twice those of 8K
# What FFmpeg may take a file for: no playlist, list of parts and the like, which name other files to read.
_FORMATS = (
    "mov matroska avi mpeg mpegts mpegtsraw mpegvideo flv live_flv asf asf_o ogg gif apng h264 hevc vvc "
    "mjpeg mjpeg_2000 m4v ivf av1 obu dv h261 h263 vc1 vc1test dirac cavsvideo nut mxf gxf rm wtv swf "
    "yuv4mpegpipe nsv nuv smk bink film_cpk flic mpjpeg pva ty amv wav w64 aiff au caf flac mp3 aac ac3 "
    "eac3 dts amr ape wv tta mpc loas"
).replace(" ", ",")


class DecodeError(ValueError):
    """A file that cannot be read as a video: `path`, and `why` in a few words."""

    def __init__(self, path: str | os.PathLike, why: str):
        super().__init__(str(path), why)  # both, so that it survives pickling
        self.path, self.why = Path(path), why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class NoPictureError(DecodeError):
    """A file without pictures, such as one of sound."""


class TooShortError(DecodeError):
    """A film with fewer frames than were asked for."""


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

    Height and width are in pixels, upright. `complete`: whether the whole file was looked at. `aspect`: how
    wide a pixel is meant to be shown, over how high.
    """

    times: np.ndarray
    height: int
    width: int
    complete: bool
    aspect: Fraction = Fraction(1)


def check_regular(path: Path) -> None:
    """Raises DecodeError where a path is no file that ends: a pipe would be waited for, for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else reason(error)
        raise DecodeError(path, why) from None
    if not stat.S_ISREG(mode):
        raise DecodeError(path, "not a regular file")


def check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise DecodeError(path, f"{width} x {height} pixels: at most {MOST_PIXELS} are expected")


def check_stay(path: Path, seconds: float) -> None:
    if seconds > LONGEST:
        raise DecodeError(path, f"broken timestamps: one frame would stay for {seconds:.0f} s")


def open_container(path: Path) -> av.container.InputContainer:
    """A regular file, opened by FFmpeg, which reads no other file for it. Raises DecodeError."""
    check_regular(path)
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
    try:
        return av.open(str(path.absolute()), options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError) as error:
        raise DecodeError(path, f"not a video that can be read ({reason(error)})") from None


def natural(name: str) -> list[Any]:
    """Sorting key under which frame_2 comes before frame_10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


# ---------------------------------------------------------------------------------------------------------- #
# Films
# ---------------------------------------------------------------------------------------------------------- #


class Film:
    """A file that PyAV reads, with one thread, so that files can be read side by side.

    A file that was cut off is not opened, unless it may be `partial`: then `missing` says what it lacks, and
    its frames end where they no longer decode in full, instead of being shown with their gaps filled.
    """

    def __init__(self, path: Path, partial: bool = False):
        self.path, self.partial, self.container, self._began = path, partial, None, None
        check_regular(path)
        if not path.stat().st_size:
            raise DecodeError(path, "the file is empty")
        try:
            self._open()
        except DecodeError:
            self.close()
            raise

    def _open(self) -> None:
        self.close()
        self.container = open_container(self.path)
        videos = self.container.streams.video
        videos = [video for video in videos if not video.disposition & Disposition.attached_pic]
        if not videos:
            sound = "" if self.container.streams.audio else ", and no sound: it may have been cut off"
            raise NoPictureError(self.path, f"it has no video stream{sound}")
        self.stream = videos[0]
        codec = self.stream.codec_context
        if codec is None or not self.stream.time_base:
            raise DecodeError(self.path, "its pictures are in a form that cannot be decoded")
        check_pixels(self.path, codec.width, codec.height)
        codec.options = {"max_pixels": str(MOST_PIXELS)}  # frames may claim another size than the header
        codec.thread_count = 1
        self.base = self.stream.time_base
        self.tick = float(self.base)
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.rate = float(rate) if rate else None
        self.interval = 1 / self.rate if self.rate else INTERVAL
        # By how much a timestamp may be late: rounding, where ticks are finer than frames.
        self.tolerance = max(0.51 * self.tick, EXACT) if self.tick <= self.interval / 3 else EXACT
        self.has_audio = bool(self.container.streams.audio)
        self.seekable = any(name in self.container.format.name for name in _SEEKABLE)
        index = self.stream.index_entries
        end, size = max((entry.pos + entry.size for entry in index), default=0), self.path.stat().st_size
        cut = f"truncated: its index goes to byte {end}, the file ends at {size}"
        self.missing = cut if end > size else ""
        if self.missing and not self.partial:
            raise DecodeError(self.path, self.missing)

    @property
    def seconds(self) -> float | None:
        """What the header says of the pictures; where it does not, of the film, which sound may outlast."""
        if self.stream.duration:
            return _seconds(self.stream.duration, self.base)
        whole = self.container.duration / 1e6 if self.container.duration else None
        told = _tagged(self.stream)
        return min(told, whole) if told and whole else told or whole

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
            # A packet is also called corrupt where a transport stream was joined to another.
            lost = packet.is_corrupt and not packet.is_keyframe
            if self.partial and seen and (lost or any(frame.is_corrupt for frame in frames)):
                raise DecodeError(self.path, "damaged after its beginning (a frame is not whole)")
            seen = seen or any(not frame.is_corrupt for frame in frames)
            yield from frames

    def scan(self, limit: int | None = None) -> Scan:
        """Looks at the timestamps of all packets, or the first `limit`; decodes one frame."""
        stamps, durations, shown, first, complete = [], [], [], None, True
        for packet in self._packets():
            if packet.size and not packet.is_discard:
                stamps.append(packet.dts if packet.pts is None else packet.pts)
                durations.append(packet.duration or 0)
                shown.append(packet.pts)
            if first is None:
                with contextlib.suppress(av.error.FFmpegError):
                    first = next(iter(packet.decode()), None)
            if limit is not None and first is not None and len(stamps) >= limit:
                complete = False
                break
        if first is None:
            raise DecodeError(self.path, "no frame decodes")
        clock = _Clock(self.base, self.interval)
        # What was captured from the middle of something begins with what needs frames that nobody has.
        begins = -math.inf if first.pts is None else first.pts
        seen = [i for i, stamp in enumerate(shown) if stamp is None or stamp >= begins]
        order = sorted(seen, key=lambda i: (stamps[i] is not None, stamps[i]))
        times = [clock(stamps[i]) for i in order]
        times.append(times[-1] + (_seconds(durations[order[-1]], self.base) or self.interval))
        check_stay(self.path, np.diff(times).max())
        turned = quarter_turns(first) % 2
        height, width = (first.width, first.height) if turned else (first.height, first.width)
        aspect = _pixel_aspect(self.stream)
        return Scan(np.array(times) - times[0], height, width, complete, 1 / aspect if turned else aspect)

    def origin(self) -> float | None:
        """When its first frame comes, in seconds on the file's own clock; None where none decodes."""
        first = next(self._decoded(), None)
        return None if first is None else _seconds(first.pts or 0, self.base)

    def key_frames(self, count: int) -> Iterator[Callable[[Look], np.ndarray]]:
        """Pictures of at most `count` key frames from all over the film; none where it cannot be sought."""
        if not self.seconds or not self.seekable:
            return
        reformatters, aspect, seen = _reformatters(), _pixel_aspect(self.stream), set()
        for i in range(count):
            try:
                start = (self.stream.start_time or 0) + int(i / count * self.seconds / self.tick)
                self.container.seek(start, stream=self.stream)
                frame = next(self._decoded(), None)
            except (av.error.FFmpegError, DecodeError, OverflowError):
                return
            if frame is None:
                return
            if frame.pts not in seen:
                seen.add(frame.pts)
                yield functools.partial(_film_picture, self.path, frame, reformatters, aspect)

    def shown(self, start: float = 0.0) -> Iterator[Shown]:
        """All frames, from one that comes not after `start` on; by seeking where that is possible.

        May be called again where that is `seekable`.
        """
        frames = first = None
        if self._began is None:
            frames = self._decoded()
            first = next(frames, None)
            if first is None:
                raise DecodeError(self.path, "no frame decodes")
            self._began = _seconds(first.pts or 0, self.base), first.pts is not None
        origin, stamped = self._began
        if stamped and start > 1 and self.seekable:
            sought = self._seek(origin, start)
            if sought is not None:
                yield from self._timed(*sought, origin)
                return
            frames = None
        if frames is None:
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
        clock, reformatters = _Clock(self.base, self.interval), _reformatters()
        aspect = _pixel_aspect(self.stream)
        frame, start = first, clock(first.pts)
        while frame is not None:
            after = next(rest, None)
            if after is None:
                end = start + (_seconds(frame.duration or 0, self.base) or self.interval)
            else:
                end = clock(after.pts)
            check_stay(self.path, end - start)
            picture = functools.partial(_film_picture, self.path, frame, reformatters, aspect)
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


def _tagged(stream: Any) -> float | None:
    """For how many seconds there are pictures by Matroska's tags, as it has no field for it; None: no tag."""
    tags = stream.metadata
    said = next((text for key, text in tags.items() if re.fullmatch(r"DURATION(-\w+)?", key)), "")
    told = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", said)
    if told is None:
        return None
    hours, minutes, seconds = map(float, told.groups())
    seconds += 3600 * hours + 60 * minutes
    # FFmpeg tells when the last frame ends; mkvmerge, which says that it wrote this, how long all last.
    if not any(key.startswith("_STATISTICS") for key in tags):
        seconds -= _seconds(stream.start_time or 0, stream.time_base)
    return seconds if seconds > 0 else None


def _seconds(stamp: int, base: Fraction) -> float:
    return stamp * base.numerator / base.denominator  # rounded once


_Reformatters = tuple[VideoReformatter, VideoReformatter]


def _reformatters() -> _Reformatters:
    """One for looks and one for quick looks: they prepare anew for each other size."""
    return VideoReformatter(), VideoReformatter()


def _pixel_aspect(stream: av.VideoStream) -> Fraction:
    """How wide a stored pixel is meant to be shown, over how high."""
    aspect = stream.sample_aspect_ratio or Fraction(1)  # 0 where the file does not say
    return aspect if 1 / WIDEST <= aspect <= WIDEST else Fraction(1)  # of no camera, but of a damaged header


def _film_picture(
    path: Path, frame: av.VideoFrame, reformatters: _Reformatters, aspect: Fraction, look: Look
) -> np.ndarray:
    if aspect != 1:
        look = replace(look, aspect=float(1 / aspect if quarter_turns(frame) % 2 else aspect))
    try:
        return look.of_frame(frame, reformatters[look.quick])
    except (av.error.FFmpegError, ValueError) as error:
        raise DecodeError(path, f"a frame whose pixels cannot be read ({reason(error)})") from None


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
