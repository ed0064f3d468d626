"""Sound of footage, and sound files: mono float32, 16 kHz, in [-1, 1], on the clock of the video's frames.

Time 0 is when the video's first frame comes, as in `decode`; of a file without a video, when its sound
begins. Where there is no sound yet, any more, or for a while, there is silence. What an encoder put before
the sound (its priming) is left out where the file says how much: not so in avi, where MP3 comes late by its
encoder's delay, as players play it.

All channels become one by fixed weights, `WEIGHTS`, those of ITU-R BS.775 for stereo, scaled to a sum of 1:
nothing clips, and what all channels share keeps its loudness. Low frequency effects are left out. Sampling
rates are converted by FFmpeg's swresample.
"""

import collections
import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.stream import Discard

from vgm_jax.data._readers import DecodeError, Film, check_regular, open_container, reason

SAMPLE_RATE = 16_000
WEIGHTS = {"FL": 1.0, "FR": 1.0, "FC": math.sqrt(2)} | dict.fromkeys(("LFE", "LFE2"), 0.0)
_SURROUND = math.sqrt(0.5)  # of all other channels
SOUNDS = (".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".mka")
SILENT = (".npy", ".webp", ".gif", ".png", ".jpg", ".jpeg")  # forms without sound or subtitles
# Containers in which one can jump and still know which sample comes; the others are read from the start.
_SEEKABLE = ("mp4", "matroska", "mpegts", "wav", "flac", "ogg")
_PREROLL = 1.0  # seconds that are decoded before what is wanted: decoders and filters need some to settle
_FAR = 10.0  # seconds ahead from which on a jump is cheaper than reading on
_JITTER = 0.04  # seconds by which a frame may be late and still follow the one before without a gap
_BLOCK = 16384  # samples that go through the filter at once
_LONGEST = 600.0  # seconds of a gap


def read_audio(
    path: str | os.PathLike, start: float = 0.0, seconds: float | None = None
) -> np.ndarray | None:
    """The sound of a film or a sound file from `start` on.

    Args:
      path: of a file that PyAV reads; forms that have no sound (folders, .npy, .webp, ...) are none.
      start: seconds from the video's first frame; long films are sought, see `Sound.read`.
      seconds: None: to the end of the sound.

    Returns:
      float32 [round(16000 * seconds)] in [-1, 1], silence where there is no sound; None where the file has no
      sound at all.

    Raises:
      DecodeError: the file cannot be read or its sound is damaged, naming the file. What FFmpeg skips without
        a word, as it does in transport streams, is silence.
      ValueError: start or seconds out of their range.
    """
    _check(start, seconds)
    sound = open_audio(path)
    if sound is None:
        return None
    with sound:
        return sound.read(start, seconds)


def open_audio(path: str | os.PathLike) -> "Sound | None":
    """Opens a file's sound for `Sound.read`, to be closed; None where it has none. Raises as `read_audio`."""
    path = Path(path)
    if path.is_dir():
        return None
    check_regular(path)
    if path.suffix.lower() in SILENT:
        return None
    sound = Sound(path)
    if sound.has_audio:
        return sound
    sound.close()
    return None


class Sound:
    """An open file's sound, made by `open_audio`; of one thread at a time.

    Pieces that are read in order go through the file once, and memory does not grow with its length.
    """

    def __init__(self, path: Path):
        self.path = path
        self._container, self._end = None, None
        try:
            self._open()
        except DecodeError:
            self.close()
            raise

    def __enter__(self) -> "Sound":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()

    @property
    def end(self) -> float | None:
        """Seconds from the video's first frame at which the sound ends; None before reading has got there."""
        return None if self._end is None else self._end / SAMPLE_RATE

    def read(self, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """float32 [round(16000 * seconds)] from `start` on, seconds from the video's first frame.

        The first sample is that of round(16000 * start). Read in pieces, in any order, gives the same samples
        as read at once, but for AAC, whose decoder makes up noise (differences of 1e-4 were seen); and where
        a file's timestamps jitter, to within 40 ms after a jump.

        `seconds` None: to the sound's end. Raises as `read_audio`.
        """
        _check(start, seconds)
        first = round(SAMPLE_RATE * start)
        if self._end is not None and first >= self._end:
            return np.zeros(round(SAMPLE_RATE * (seconds or 0.0)), np.float32)
        if not self._from <= first <= self._reached + _FAR * SAMPLE_RATE:
            self._go_to(first)
        self._from = first
        self._drop(first)
        if seconds is None:
            while self._advance():
                pass
            stop = max(self._reached, first)
        else:
            stop = first + round(SAMPLE_RATE * seconds)
            while self._reached < stop and self._advance():
                self._drop(first)
        out = np.zeros(stop - first, np.float32)
        for at, samples in self._pieces:
            low, high = max(at, first), min(at + len(samples), stop)
            if low < high:
                out[low - first : high - first] = samples[low - at : high - at]
        return np.clip(out, -1, 1, out=out)

    # ------------------------------------------------------------------ pieces at 16 kHz
    def _advance(self) -> bool:
        """Takes one more piece in; False at the end."""
        if self._error is not None:
            raise self._error
        try:
            piece = next(self._coming, None)
        except DecodeError as error:
            self._error = error  # the iterator has ended: what comes after it is not silence
            raise
        if piece is None:
            self._end = self._reached
            return False
        self._pieces.append(piece)
        self._reached = piece[0] + len(piece[1])
        return True

    def _drop(self, first: int) -> None:
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= first:
            self._pieces.popleft()

    def _go_to(self, first: int) -> None:
        """Begins anew, at a sample that is not after `first`."""
        wanted = first / SAMPLE_RATE - _PREROLL
        blocks = self._sought(wanted) if self._seekable and wanted > _PREROLL else None
        if blocks is None:
            self._open()
        else:
            self._begin(first, blocks)

    def _begin(self, reached: int, blocks: Iterator[tuple[int, np.ndarray]]) -> None:
        self._pieces: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._reached = reached
        self._error: DecodeError | None = None
        self._coming = self._resampled(blocks)

    def _resampled(self, blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """(at, float32 [n]) at 16 kHz, of (k, float32 [n]) at the file's rate; k skips over gaps.

        A filter starts at a multiple of `unit`, so that its samples are those it would give from the start.
        """
        unit = self._rate // math.gcd(self._rate, SAMPLE_RATE)
        due, at, resampler = None, 0, None
        for k, samples in _gathered(blocks):
            if k != due:
                if resampler is not None:
                    yield at, _resample(resampler, None, self._rate)
                resampler, at = AudioResampler("fltp", "mono", SAMPLE_RATE), self._position(k - k % unit)
                samples = np.concatenate([np.zeros(k % unit, np.float32), samples])
                due = k - k % unit
            due += len(samples)
            piece = _resample(resampler, samples, self._rate)
            yield at, piece
            at += len(piece)
        if resampler is not None:
            yield at, _resample(resampler, None, self._rate)

    def _position(self, k: int) -> int:
        """The 16 kHz sample at which the file's sample k is; k is a multiple of `unit`."""
        return round(SAMPLE_RATE * self._offset) + k * SAMPLE_RATE // self._rate

    # ------------------------------------------------------------------ samples as the file has them
    def _open(self) -> None:
        """Opens the file at its start. What k counts is the file's samples from the first one decoded."""
        self.close()
        self._container = open_container(self.path)
        self._stream = self._container.streams.best("audio")
        self.has_audio = self._stream is not None
        if not self.has_audio:
            return
        if self._stream.codec_context is None or not self._stream.time_base:
            raise DecodeError(self.path, "its sound is in a form that cannot be decoded")
        self._tick = float(self._stream.time_base)
        for other in self._container.streams:
            if other is not self._stream:
                other.discard = Discard.all
        self._seekable = any(name in self._container.format.name for name in _SEEKABLE)
        frames = self._decoded()
        first, second = next(frames, None), next(frames, None)
        self._rate = first.sample_rate if first is not None else SAMPLE_RATE
        self._first = self._seconds(first) or 0.0 if first is not None else 0.0
        origin = first_frame(self.path)
        self._offset = 0.0 if origin is None else self._first - origin
        # Where all frames are as long as the second one, rounded timestamps still tell which one it is.
        self._lead, self._length = (first.samples, second.samples) if second is not None else (0, 0)
        known = [frame for frame in (first, second) if frame is not None]
        self._from = -(2**62)
        self._begin(self._position(0), self._numbered(0, _chained(known, frames)))

    def _decoded(self) -> Iterator[av.AudioFrame]:
        seen = False
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    if seen:
                        raise DecodeError(self.path, f"its sound is damaged ({reason(error)})") from None
                    continue  # a recording, and what follows a jump, may begin in the middle of something
                seen = seen or bool(frames)
                yield from (frame for frame in frames if frame.samples)
        except av.error.FFmpegError as error:
            raise DecodeError(self.path, f"its sound is damaged ({reason(error)})") from None

    def _seconds(self, frame: av.AudioFrame) -> float | None:
        return None if frame.pts is None else frame.pts * self._tick

    def _numbered(self, k: int, frames: Iterator[av.AudioFrame]) -> Iterator[tuple[int, np.ndarray]]:
        """(k, float32 [n]) of frames, the first of which is k: they follow one another but for gaps."""
        for frame in frames:
            if frame.sample_rate != self._rate:
                raise DecodeError(
                    self.path, f"its sound changes from {self._rate} to {frame.sample_rate} samples a second"
                )
            time = self._seconds(frame)
            if time is not None:
                late = (time - self._first) - k / self._rate
                if late > _LONGEST:
                    raise DecodeError(self.path, f"broken timestamps: its sound pauses for {late:.0f} s")
                k = k + round(late * self._rate) if late > _JITTER else k
            yield k, _mono(frame)
            k += frame.samples

    def _sought(self, wanted: float) -> Iterator[tuple[int, np.ndarray]] | None:
        """Samples from a jump on, from one that comes not after `wanted` seconds; None where it fails."""
        time = wanted - self._offset + self._first  # on the file's clock
        for back in (0.0, 2.0, 10.0):
            try:
                self._container.seek(int((time - back) * av.time_base))
                frames = self._decoded()
                first = next(frames, None)
            except (av.error.FFmpegError, DecodeError):
                return None
            stamp = None if first is None else self._seconds(first)
            if stamp is not None and stamp <= time + _PREROLL / 2:
                return self._numbered(self._number(stamp), _chained([first], frames))
        return None

    def _number(self, stamp: float) -> int:
        """Which sample has this timestamp."""
        k = round((stamp - self._first) * self._rate)
        if self._length:
            whole = self._lead + round((k - self._lead) / self._length) * self._length
            if abs(whole - k) <= 0.6 * self._tick * self._rate + 1:
                return whole
        return k


def _gathered(blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """The same samples in fewer blocks, since each has its price; what is no number is silence."""
    held: list[np.ndarray] = []
    first = count = 0
    failure = None
    try:
        for k, samples in blocks:
            if held and (k != first + count or count >= _BLOCK):
                yield first, _numbers(held)
                held, count = [], 0
            first = first if held else k
            held.append(samples)
            count += len(samples)
    except DecodeError as error:
        failure = error
    if held:
        yield first, _numbers(held)
    if failure is not None:
        raise failure


def _numbers(blocks: list[np.ndarray]) -> np.ndarray:
    return np.nan_to_num(np.concatenate(blocks), posinf=0.0, neginf=0.0)


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """float32 [n] in [-1, 1] of a decoded frame of any format and layout, by `WEIGHTS`."""
    samples = frame.to_ndarray()
    weights = _weights(tuple(channel.name for channel in frame.layout.channels))
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(weights)).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / np.float32(-float(np.iinfo(samples.dtype).min))
    return weights @ samples.astype(np.float32, copy=False)


@functools.lru_cache
def _weights(channels: tuple[str, ...]) -> np.ndarray:
    """float32 [channels] that sum to 1."""
    weights = np.array([WEIGHTS.get(name, _SURROUND) for name in channels], np.float32)
    if not weights.any():
        weights[:] = 1
    return weights / weights.sum()


def _resample(resampler: AudioResampler, samples: np.ndarray | None, rate: int) -> np.ndarray:
    """What comes out of a filter when samples go in, or None: its rest."""
    frame = None
    if samples is not None:
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
    out = [piece.to_ndarray()[0] for piece in resampler.resample(frame) if piece is not None]
    return np.concatenate(out) if out else np.zeros(0, np.float32)


def _chained(known: list[av.AudioFrame], rest: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    yield from known
    yield from rest


def first_frame(path: Path) -> float | None:
    """When a file's first picture comes, in seconds on the file's own clock; None: it has none to be read."""
    state = path.stat()
    return _first_frame(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _first_frame(path: Path, *stamp: int) -> float | None:
    try:
        with contextlib.closing(Film(path, partial=True)) as film:
            return film.origin()
    except DecodeError:
        return None


def _check(start: float, seconds: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start must be seconds >= 0, got {start}")
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"seconds must be >= 0, got {seconds}")
