"""What a person asks for, words, a class, a picture or a sound, as a generator takes it."""

import contextlib
import itertools
import math
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vgm_jax.data import decode
from vgm_jax.data._pixels import Look
from vgm_jax.data.audio import DecodeError, open_audio
from vgm_jax.data.text import Vocabulary
from vgm_jax.inference.checks import check_guided
from vgm_jax.inference.words import encode_known
from vgm_jax.models.encoders.audio import log_mel
from vgm_jax.models.encoders.condition import heard_at
from vgm_jax.models.scene import Asked, Codes, Known
from vgm_jax.tasks.generation import Generation
from vgm_jax.types import AUDIO_RATE, Params

SILENT = 1e-4  # peak of a sound under which nothing is heard
LOUDEST = 16.0  # peak from which on a sound is of other units
LONGEST = 600.0  # seconds of a sound that is taken whole
FRAMES = 256  # of a video that is gone on from, at most
DESCENT = 100  # steps by which codes of pictures are bettered
LATEST = 1e6  # seconds before which a picture is to be seen
AT_END = 1e-4  # of a window: so near to its end a time is the next one's
PIECE = 10.0  # seconds of it that are read at once


def in_windows(times: np.ndarray | float, window: float) -> tuple[np.ndarray, np.ndarray]:
    """The number of the window of motion that each time is in, and seconds into it, in double precision.

    Where one ends and the next begins a time is in the next, however it rounds.
    """
    number = np.floor(np.asarray(times) / window + AT_END)
    return number.astype(int), np.maximum(times - number * window, 0.0)


class Wish(NamedTuple):
    """What one clip is asked for by.

    vectors: float32 [W D], of each window of motion from number `first` on, the last one's from there on; or
    None. heard: float32 [W T H], of the sound in each (`Condition`), or None. shown: codes of one clip, whose
    content and form are kept, or None. known: where that is, and when, in double precision, or None.
    guidance: how far from what is asked for by nothing, in multiples (`Sampling.guided`).
    """

    vectors: np.ndarray | None = None
    heard: np.ndarray | None = None
    shown: Codes | None = None
    known: Known | None = None
    guidance: float = 1.0
    first: int = 0

    def asked(self, times: np.ndarray, window: float) -> Asked | None:
        """At times [1 K] seconds, and those of what is known after them."""
        if self.vectors is None:
            return None
        if self.known is not None:
            times = np.concatenate([times, self.known.times], 1)
        since, within = in_windows(times, window)
        index = since[..., None] + np.arange(-1, 1) - self.first
        taken = np.clip(index, 0, len(self.vectors) - 1)
        asked = Asked(self.vectors[:1], self.vectors[taken])
        if self.heard is None:
            return asked
        before, own = np.moveaxis(self.heard[taken], 2, 0)  # [1 K T H] each
        ended = before[:, :, -1] * (index[..., :1] >= 0)  # before the sound begins, nothing
        now = heard_at(own, within[..., None])[:, :, 0]
        return asked._replace(heard=np.stack([ended, own[:, :, 0], now], 2).astype(np.float32))


class Listener:
    """Turns what a person gives into wishes, for one generator.

    Args:
      vocabulary, classes: of the data that the generator learnt from; None and () where it had none.
      words: of a text, at most.
      size, fps: pixels a side, and frames a second, of the clips it learnt from.
      window: seconds of a window of motion.
    """

    def __init__(
        self,
        task: Generation,
        params: Params,
        *,
        vocabulary: Vocabulary | None,
        classes: Sequence[str],
        words: int,
        size: int,
        fps: float,
        window: float,
    ):
        self.task, self.params, self.vocabulary, self.classes = task, params, vocabulary, tuple(classes)
        self.words, self.size, self.fps, self.window = words, size, fps, window
        self._inverted: tuple[Any, Codes | None] = None, None

    def wish(
        self,
        seconds: float,
        start: float = 0.0,
        text: str | None = None,
        label: int | str | None = None,
        audio: np.ndarray | None = None,
        image: Any = None,
        last_image: Any = None,
        video: Any = None,
        pictures: Mapping[float, Any] | None = None,
        guidance: float = 1.0,
    ) -> Wish:
        """Of a clip of so many seconds from its first frame to its last.

        Args:
          start: seconds at which it is asked for: what is given is of the time from there on.
          text: words of the vocabulary; any, of a generator that is asked by sentences.
          label: a class, by name or number.
          audio: float32 [S] at 16 kHz in [-1, 1].
          image: a file, or uint8 [H W 3]: the first frame. last_image: likewise, of the end.
          video: a file, or uint8 [T H W 3] at `fps`: the first T frames, which may be more than are asked
            for.
          pictures: seconds -> likewise as `image`, what is to be seen then.
          guidance: of text, label and audio.

        Raises ValueError that says what is wrong.
        """
        check_guided(guidance, {"text": text, "label": label, "audio": audio})
        given: dict[str, np.ndarray] = {}
        if text is not None:
            given |= self.read(text)
        if label is not None:
            given["label"] = np.int32([self.class_of(label)])
        windows = 1
        present = {}
        first, gone = (x.item() for x in in_windows(start, self.window))
        if audio is not None:
            # Windows of motion begin where they do, and the sound in the middle of one.
            silence = np.zeros(round(AUDIO_RATE * gone), np.float32)
            given["audio"], heard = self.hear(audio, silence)
            windows = len(heard) + 1  # after its end nothing is heard
            given["audio"] = np.concatenate([given["audio"], given["audio"][:1]])
            present["audio"] = np.array([*heard, False])
        vectors = sound = None
        if given:
            rows = {n: x if n == "audio" else np.repeat(x, windows, 0) for n, x in given.items()}
            asked = self.task.ask(self.params, rows, present)
            vectors = np.asarray(asked.pooled)  # to be picked from on the host
            sound = None if asked.heard is None else np.asarray(asked.heard)
        shown = known = None
        if video is not None and image is not None:
            raise ValueError("a video has its first frame: give either --image or --video")
        watched = [] if video is None else self.watch(video)
        frames = [(image, 0.0), *((x, i / self.fps) for i, x in enumerate(watched))]
        # A last frame within the video, or the first one, is another than its own: the end comes after it.
        shown_until = frames[-1][1]
        frames.append((last_image, seconds if seconds > shown_until else shown_until + 1 / self.fps))
        frames = [(x, at) for x, at in frames if x is not None]
        for at, x in (pictures or {}).items():
            if not 0 <= at < LATEST or at in [time for _, time in frames]:
                raise ValueError(f"a picture is to be seen at {at:g} s: give one for each time, from 0 s on")
            frames.append((x, at))
        if frames:
            frames.sort(key=lambda frame: frame[1])
            seen = np.stack([self.picture(x) for x, _ in frames])[None]
            since = np.array([[at for _, at in frames]])
            shown = self.invert(seen, since.astype(np.float32))  # as clips are read in training, from zero on
            told, known = (gone + since).astype(np.float32), np.ones(since.shape, bool)
            window, within = in_windows(start + since, self.window)
            within = np.minimum(within, self.window * (1 - AT_END)).astype(np.float32)
            known = Known(shown.motion, start + since, known, told, window.astype(np.int32), within)
        return Wish(vectors, sound, shown, known, guidance, first)

    def read(self, text: str) -> dict[str, np.ndarray]:
        """A text as the generator learnt to read it: "text" int32 [1 L], or "sentence" float32 [1 384].

        Raises ValueError where it is no text, empty, too long, or has a word that is not known; and what to
        do where the network that reads sentences is missing.
        """
        if not isinstance(text, str):
            raise ValueError(f"text={text!r} must be a string")
        if self.task.sentences is None:
            return {"text": encode_known(self.vocabulary, text, "text", self.words, self.words)[None]}
        if not text.strip():
            raise ValueError("the text is empty")
        return {"sentence": self.task.sentences.of([text], whole=True)}

    def invert(self, seen: np.ndarray, times: np.ndarray) -> Codes:
        """Codes of pictures uint8 [1 K H W 3] at times [1 K]; once, where several clips are of the same."""
        asked = seen.tobytes(), times.tobytes()
        before, codes = self._inverted
        if before != asked:
            codes = self.task.invert(self.params, seen, times, DESCENT)
            self._inverted = asked, codes
        return codes

    def class_of(self, label: int | str) -> int:
        """The number of a class. Raises ValueError that lists the classes."""
        count = self.task.generator.classes
        names = self.classes or tuple(map(str, range(count)))
        if isinstance(label, str):
            if label in names:
                return names.index(label)
            if not label.isdecimal():
                raise ValueError(f"there is no class {label!r}; choose one of {', '.join(names)}")
        try:
            number = int(label) if isinstance(label, str) else operator.index(label)
        except TypeError:
            number = -1
        if not 0 <= number < count:
            raise ValueError(f"class {label} is not in 0..{count - 1}: {', '.join(names)}")
        return number

    def hear(self, audio: np.ndarray, silence: np.ndarray) -> tuple[np.ndarray, list[bool]]:
        """Log-mel [W F 64] of a sound's windows, after silence, and in which there is something to hear."""
        if np.abs(audio).max() < SILENT:
            raise ValueError("the sound is silent: there is nothing that motion could follow")
        sound = np.concatenate([silence, audio])
        each = round(AUDIO_RATE * self.window)
        count = max(1, math.ceil(len(sound) / each - 0.01))
        sound = np.pad(sound, (0, max(0, count * each - len(sound))))[: count * each].reshape(count, each)
        mel = np.concatenate([np.asarray(log_mel(jnp.asarray(part[None]))) for part in sound])
        return mel, [bool(np.abs(part).max() >= SILENT) for part in sound]

    def watch(self, video: Any) -> np.ndarray:
        """uint8 [T H W 3] of a video, a file or that. Raises ValueError naming what is wrong."""
        if isinstance(video, str | os.PathLike):
            path, size = Path(video), (self.size, self.size)
            if not path.exists():
                raise ValueError(f"{path}: there is no such file")
            try:
                found = decode.iterate_frames(path, fps=self.fps, size=size, rate=self.fps)
                with contextlib.closing(found):
                    video = np.stack([frame for frame, _ in itertools.islice(found, FRAMES + 1)])
            except decode.DecodeError as error:
                raise ValueError(str(error)) from error
        video = np.asarray(video)
        if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3 or 0 in video.shape:
            raise ValueError(f"a video must be uint8 [T H W 3]; got {video.dtype} {video.shape}")
        if len(video) > FRAMES:
            seconds = FRAMES / self.fps
            raise ValueError(f"the video is longer than the {seconds:g} s ({FRAMES} frames) that are taken")
        return video

    def picture(self, image: Any) -> np.ndarray:
        """uint8 [size size 3] of a picture, its middle square. Raises ValueError naming the file."""
        return read_picture(image, self.size)


def read_picture(image: Any, size: int) -> np.ndarray:
    """uint8 [size size 3] of a picture, its middle square. Raises ValueError naming the file."""
    if isinstance(image, str | os.PathLike):
        image = decode.picture(Path(image))
    else:
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a picture must be uint8 [H W 3]; got {image.dtype} {image.shape}")
    return Look((size, size)).of_array(image)


def as_sound(audio: Any) -> np.ndarray:
    """float32 [S] of an array. Raises ValueError for another shape, whole numbers, what is far too loud."""
    sound = np.asarray(audio)
    if sound.ndim != 1 or not sound.size or not np.issubdtype(sound.dtype, np.floating):
        raise ValueError(f"the sound must be float32 [S] at 16 kHz; got {sound.dtype} {sound.shape}")
    sound = sound.astype(np.float32)
    if not np.abs(sound).max() < LOUDEST:
        raise ValueError("the sound must be finite, and in [-1, 1]")
    return sound


def read_sound(path: str | os.PathLike, seconds: float | None = None) -> np.ndarray:
    """A file's sound, float32 [S] at 16 kHz: its first `seconds`, or all of it.

    Raises ValueError where it has none, cannot be read, or all of it is longer than `LONGEST`.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    pieces, start, wanted = [], 0.0, LONGEST + PIECE if seconds is None else seconds
    try:
        with open_audio(path) or contextlib.nullcontext() as sound:
            while sound and start < wanted and (sound.end is None or start < sound.end):
                pieces.append(sound.read(start, PIECE))
                start += PIECE
            end = min(wanted, start if not sound or sound.end is None else sound.end)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if not pieces:
        raise ValueError(f"{path}: it has no sound")
    if seconds is None and end > LONGEST:
        raise ValueError(
            f"{path}: is longer than the {LONGEST:g} s that are listened to; say how many frames you want"
        )
    return np.concatenate(pieces)[: round(end * AUDIO_RATE)]
