"""A film, or a sound, as clips of a model's length, a few at a time: memory does not grow with its length."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vgm_jax.data import decode
from vgm_jax.data.audio import SOUNDS, Sound, open_audio
from vgm_jax.data.captions import Captions
from vgm_jax.data.decode import DecodeError
from vgm_jax.data.files import walk
from vgm_jax.data.text import Vocabulary
from vgm_jax.types import AUDIO_RATE, Batch


class Clips:
    """A file's clips, one after another, of `frames` frames at `fps` and `size`, with their sound.

    Items are as of a Batch, unbatched: "video" and "times" where there is a picture, "audio" where there is
    sound, "start", seconds, and "part", how much of it is the file's. What is shorter than a clip, as the
    last one mostly is, repeats its last frame and ends in silence. With `silence`, a film without sound has
    zeros as its "audio", as in training; `silent` says that it is one.

    Raises DecodeError where there is neither picture nor sound, or nothing of `modalities`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        size: int,
        frames: int,
        fps: float,
        modalities: tuple[str, ...] = ("video", "audio"),
        silence: bool = False,
    ):
        self.path, self.size, self.frames, self.fps = Path(path), size, frames, float(fps)
        self.seconds = frames / self.fps
        if not self.path.exists():
            raise DecodeError(self.path, "there is no such file")
        self.info, why = None, "it has no picture"
        if "video" in modalities:
            try:
                self.info = decode.probe(self.path, rate=self.fps)
            except decode.DecodeError as error:
                # Of a film whose picture is damaged sound alone would answer, and nobody would know.
                if not isinstance(error, decode.NoPictureError) and self.path.suffix.lower() not in SOUNDS:
                    raise
                why = error.why
        sound = open_audio(self.path) if "audio" in modalities else None
        self.has_audio = sound is not None
        self.silent = silence and "audio" in modalities and not self.has_audio
        if sound is not None:
            sound.close()
        if self.info is None and not self.has_audio:
            raise DecodeError(self.path, why if "video" in modalities else "it has no sound")

    def __iter__(self) -> Iterator[Batch]:
        """All of them, in order. Raises DecodeError where the file turns out damaged."""
        with contextlib.ExitStack() as stack:
            sound = stack.enter_context(open_audio(self.path)) if self.has_audio else None
            if self.info is None:
                yield from self._sounds(sound)
                return
            frames = decode.iterate_frames(self.path, fps=self.fps, size=self.size, rate=self.fps)
            for number in itertools.count():
                clip = [frame for frame, _ in itertools.islice(frames, self.frames)]
                if not clip:
                    return
                yield self._clip(clip, number * self.seconds, sound)

    def spread(self, count: int) -> Iterator[Batch]:
        """`count` clips evenly spread over the film, the first at its start; all, where it has no more.

        Of a film that does not say how long it is, and of sound alone, all.
        """
        seconds = None if self.info is None else self.info.seconds
        if seconds is None or seconds <= count * self.seconds:
            yield from self
            return
        with contextlib.ExitStack() as stack:
            sound = stack.enter_context(open_audio(self.path)) if self.has_audio else None
            for start in np.linspace(0.0, seconds - self.seconds, count).tolist():
                frames = decode.iterate_frames(
                    self.path, fps=self.fps, start=start, size=self.size, rate=self.fps
                )
                with contextlib.closing(frames):
                    try:
                        clip = [frame for frame, _ in itertools.islice(frames, self.frames)]
                    except decode.TooShortError:
                        if not start:
                            raise
                        return  # it is shorter than its header says
                yield self._clip(clip, start, sound)

    def _clip(self, frames: list[np.ndarray], start: float, sound: Sound | None) -> Batch:
        part = len(frames) / self.frames
        frames += [frames[-1]] * (self.frames - len(frames))
        times = (np.arange(self.frames) / self.fps).astype(np.float32)
        clip = {"video": np.stack(frames), "times": times, "start": start, "part": part}
        if self.silent:
            clip["audio"] = np.zeros(round(AUDIO_RATE * self.seconds), np.float32)
        return clip if sound is None else clip | {"audio": sound.read(start, self.seconds)}

    def _sounds(self, sound: Sound) -> Iterator[Batch]:
        for number in itertools.count():
            start = number * self.seconds
            audio = sound.read(start, self.seconds)
            if sound.end is not None and sound.end <= start:
                if not number:
                    raise DecodeError(self.path, "its sound has no samples")
                return
            end = start + self.seconds if sound.end is None else sound.end
            yield {"audio": audio, "start": start, "part": min(1.0, (end - start) / self.seconds)}


def in_batches(clips: Iterable[Batch], rows: int) -> Iterator[tuple[Batch, list[Batch]]]:
    """Clips as batches of `rows`, the last filled up with its last clip; and the clips that each is of."""
    clips = iter(clips)
    while held := list(itertools.islice(clips, rows)):
        full = held + [held[-1]] * (rows - len(held))
        yield {n: np.stack([c[n] for c in full]) for n in held[0] if n not in ("start", "part")}, held


def said_words(
    said: Captions, held: list[Batch], rows: int, seconds: float, vocabulary: Vocabulary, length: int
) -> np.ndarray:
    """What is said in clips of so many seconds, "text" int32 [rows length]; filled up as in `in_batches`."""
    starts = [clip["start"] for clip in held] + [held[-1]["start"]] * (rows - len(held))
    return np.stack([vocabulary.encode(said.during(start, start + seconds), length) for start in starts])


def find(folder: str | os.PathLike) -> list[tuple[str, Path]]:
    """Videos and sound files under a folder, by name; a file is itself.

    Raises FileNotFoundError where there is none of that name, ValueError where nothing is in it.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such file or folder")
    if folder.is_file():
        return [(folder.name, folder)]
    # Files alone: a folder of pictures does not say how fast they come.
    wanted = (*decode.SUFFIXES, *SOUNDS)
    paths = [place / name for place, names in walk(folder) for name in names]
    found = [p for p in paths if p.suffix.lower() in wanted and p.is_file()]
    if not found:
        raise ValueError(f"{folder}: nothing to read; expected {', '.join(wanted)}")
    return [(p.relative_to(folder).as_posix(), p) for p in sorted(found)]
