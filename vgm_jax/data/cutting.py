"""A film of parts of another one, with their sound, in as many channels and samples a second as fit both.

Pictures come through `decode`, so any form will do. Sound is read here and not by `audio`, which makes of it
what networks want: mono, 16 kHz.
"""

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from vgm_jax.data import decode
from vgm_jax.data._readers import DecodeError, open_container
from vgm_jax.data.audio import SILENT, first_frame
from vgm_jax.data.files import in_one_piece

RATE = 48_000  # samples a second of what is written, two channels
FADE = 0.008  # seconds at either end of a part, so that no cut clicks
PIECE = 1.0  # seconds that are written in turns of picture and sound
MOST_FPS = 60.0
ENDS_EARLY = 0.5  # seconds that may lack at the end of a part
SUFFIXES = (".mp4", ".mov", ".mkv")
_FAR = 10.0  # seconds ahead from which on a jump is cheaper than reading on
_LATE = 0.05  # seconds by which sound may be late and still follows without a gap

Span = tuple[float, float]


def cut(
    path: str | os.PathLike,
    spans: Sequence[Span],
    out: str | os.PathLike,
    fps: float | None = None,
    *,
    rate: float = 1.0,
    title: str = "",
    dress: Callable[[np.ndarray], np.ndarray] = lambda frame: frame,
) -> float:
    """Writes the parts of a film, one after another, as H.264 with AAC, in memory that does not grow.

    Args:
      path: of the film, in any form that `decode` reads.
      spans: (start, end) of each part, in seconds from the film's first frame.
      out: .mp4, .mov or .mkv; it appears when it is complete.
      fps: frames a second; by default the film's own mean, at most 60, or of a slow film a whole multiple,
        so that the shortest part has a frame.
      rate: frames a second of a folder of pictures or an .npy, which do not say it.
      title: of the file.
      dress: what is done to each frame, uint8 [H W 3], before it is written; all must stay of one size.

    Returns:
      Seconds of what was written. The sound of a part is as long as its picture, to the sample.

    Raises:
      DecodeError: the film cannot be read. Sound that is damaged is silence.
      ValueError: another suffix; no part, or one that is shorter than a frame.
      OSError: naming the file, where it cannot be written.
    """
    path, out = Path(path), Path(out)
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out}: expected a suffix among {', '.join(SUFFIXES)}")
    info = decode.probe(path, rate=rate)
    if not fps:
        own, shortest = min(info.fps or 25.0, MOST_FPS), min((b - a for a, b in spans), default=0.0)
        times = math.ceil(1 / (own * shortest)) if shortest > 0 else 1
        fps = own * times if own * times <= MOST_FPS else own
    pace = Fraction(fps).limit_denominator(60_000)
    counts = [round((end - start) * pace) for start, end in spans]
    if not counts or min(counts) < 1:
        raise ValueError(f"{path}: nothing to cut out: each part must last a frame or more")
    out.parent.mkdir(parents=True, exist_ok=True)
    with in_one_piece(out) as part, contextlib.ExitStack() as stack:
        sound = None
        if info.has_audio and path.suffix.lower() not in SILENT and path.is_file():
            sound = stack.enter_context(contextlib.closing(_Sound(path)))
        writer = _Writer(part, out.suffix, pace, info.pixel_aspect, sound is not None, title)
        stack.callback(writer.close)
        starts = [start for start, _ in spans]
        parts = stack.enter_context(contextlib.closing(_parts(path, starts, counts, float(pace), rate)))
        for start, count, frames in zip(starts, counts, parts, strict=True):
            dressed = ((dress(frame), time) for frame, time in frames)
            _write_part(path, writer, dressed, start, count, sound)
        writer.finish()
        return writer.frames / float(pace)


def _parts(
    path: Path, starts: list[float], counts: list[int], fps: float, rate: float
) -> Iterator[Iterator[tuple[np.ndarray, float]]]:
    """Of each part its frames, with their seconds from its start; each is to be used before the next."""

    def part(frames: Iterator, start: float, count: int) -> Iterator[tuple[np.ndarray, float]]:
        given = False
        try:
            for frame, time in itertools.islice(frames, count):
                yield frame, time - start
                given = True
        except decode.TooShortError:
            if not given:
                raise
            # What lacks at the end is the caller's to say.

    parts = list(zip(starts, counts, strict=True))
    times = [[start + i / fps for i in range(count)] for start, count in parts]
    ordered = all(one[-1] <= other[0] for one, other in itertools.pairwise(times))
    # In one reading, where that is possible: what cannot be sought is not begun anew for each part.
    for these in [range(len(parts))] if ordered else [[i] for i in range(len(parts))]:
        wanted = [time for i in these for time in times[i]]
        with contextlib.closing(decode.iterate_frames(path, wanted, rate=rate)) as frames:
            for i in these:
                yield part(frames, *parts[i])


def _write_part(
    path: Path, writer: "_Writer", frames: Iterator, start: float, count: int, sound: "_Sound | None"
) -> None:
    """One part: pictures and sound by turns, so that a player finds both close to each other."""
    piece, picture, time = max(1, math.ceil(PIECE * writer.rate)), None, 0.0
    length = _samples(count, writer.rate)
    for first in range(0, count, piece):
        stop = min(first + piece, count)
        for number in range(first, stop):
            # Where the film ends a little early, its last frame stays.
            picture, time = next(frames, (picture, time))
            if picture is None or time < number / writer.rate - ENDS_EARLY:
                raise DecodeError(
                    path, f"it ends at {start + time:.2f} s, within a part that was to be cut out"
                )
            writer.picture(picture)
        if sound is not None:
            a, b = _samples(first, writer.rate), _samples(stop, writer.rate)
            heard = sound.read(round(start * RATE) + a, b - a)
            at = np.arange(a, b)
            ends = np.minimum(at + 1, length - at) / (FADE * RATE)
            writer.sound(heard * np.minimum(ends, 1.0).astype(np.float32))


def _samples(frames: int, rate: Fraction) -> int:
    return round(frames * RATE / rate)


class _Writer:
    """H.264 and AAC in one container; streams are opened with the first picture."""

    def __init__(
        self, path: Path, suffix: str, rate: Fraction, aspect: Fraction, has_sound: bool, title: str = ""
    ):
        self.rate, self.aspect, self.frames, self.samples = rate, aspect, 0, 0
        form = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}[suffix.lower()]
        options = {} if form == "matroska" else {"movflags": "+faststart"}
        self.container = av.open(str(path), "w", format=form, container_options=options)
        if title:
            self.container.metadata["title"] = title
        self.reformatter = VideoReformatter()
        self.video = self.container.add_stream(
            "libx264", rate=rate, options={"crf": "20", "preset": "veryfast"}
        )
        self.audio = self.container.add_stream("aac", rate=RATE, layout="stereo") if has_sound else None
        self.size: tuple[int, int] | None = None

    def picture(self, frame: np.ndarray) -> None:
        """uint8 [H W 3]; odd sizes are filled up by their last row and column."""
        frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        if self.size is None:
            self.size = frame.shape[:2]
            self.video.height, self.video.width = self.size
            self.video.pix_fmt, self.video.codec_context.time_base = "yuv420p", 1 / self.rate
            context = self.video.codec_context
            context.colorspace, context.color_range = 6, 1  # as `media` tags its files
            context.color_primaries, context.color_trc = 1, 13
            context.sample_aspect_ratio = self.aspect
        shown = self.reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            width=self.size[1],
            height=self.size[0],
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
        )
        shown.pts, shown.time_base = self.frames, 1 / self.rate
        self.frames += 1
        self.container.mux(self.video.encode(shown))

    def sound(self, samples: np.ndarray) -> None:
        """float32 [2 N] that follow those before."""
        if not samples.shape[1]:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.samples, Fraction(1, RATE)
        self.samples += samples.shape[1]
        self.container.mux(self.audio.encode(frame))

    def finish(self) -> None:
        """Writes what the encoders still hold."""
        for stream in (self.video, self.audio):
            if stream is not None:
                self.container.mux(stream.encode())
        self.container.close()

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # already reported, or the file is given up
            self.container.close()


class _Sound:
    """A file's sound at RATE in stereo, read in order; what is missing or does not decode is silence."""

    def __init__(self, path: Path):
        self.path, self.container = path, None
        self.origin = first_frame(path) or 0.0
        self._open(0.0)

    def close(self) -> None:
        if self.container is not None:
            self.container.close()

    def _open(self, start: float) -> None:
        """Begins anew, some time before `start` seconds, where the file can be sought."""
        self.close()
        self.container = open_container(self.path)
        stream = self.container.streams.best("audio")
        if start > _FAR:
            with contextlib.suppress(av.error.FFmpegError):
                self.container.seek(int((self.origin + start - 1.0) * av.time_base))
        self.blocks = self._decoded(stream)
        self.at, self.held = 0, np.zeros((2, 0), np.float32)  # the sample that `held` begins with

    def _decoded(self, stream) -> Iterator[tuple[int, np.ndarray]]:
        """(place, float32 [2 N]) at RATE; gaps in the file's times are gaps in places."""
        resampler, form, due, tick = None, None, None, float(stream.time_base)
        for packet in self._packets(stream):
            frames = []
            with contextlib.suppress(av.error.FFmpegError):
                frames = packet.decode()
            for frame in frames:
                time = None if frame.pts is None else frame.pts * tick - self.origin
                late = resampler is not None and time is not None and abs(time * RATE - due) > _LATE * RATE
                if resampler is None or late:
                    due = round((time or 0.0) * RATE)
                # A broadcast may go from two channels to six.
                own = frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate
                if late or own != form:
                    resampler, form = AudioResampler("fltp", "stereo", RATE), own
                frame.pts = None  # the resampler counts on its own
                parts = []
                with contextlib.suppress(av.error.FFmpegError, ValueError):
                    parts = resampler.resample(frame)
                for part in parts:
                    samples = part.to_ndarray()
                    yield due, samples
                    due += samples.shape[1]

    def _packets(self, stream) -> Iterator[av.Packet]:
        with contextlib.suppress(av.error.FFmpegError):
            yield from self.container.demux(stream)

    def read(self, first: int, count: int) -> np.ndarray:
        """float32 [2 count] from sample `first` after the film's first frame on."""
        reached = self.at + self.held.shape[1]
        if first < self.at or first > reached + _FAR * RATE:
            self._open(first / RATE)
        out = np.zeros((2, count), np.float32)
        while True:
            self._copy(out, first)
            if self.at + self.held.shape[1] >= first + count:
                break
            block = next(self.blocks, None)
            if block is None:
                break
            self.at, self.held = block
        return np.nan_to_num(np.clip(out, -1.0, 1.0))

    def _copy(self, out: np.ndarray, first: int) -> None:
        low, high = max(self.at, first), min(self.at + self.held.shape[1], first + out.shape[1])
        if low < high:
            out[:, low - first : high - first] = self.held[:, low - self.at : high - self.at]
