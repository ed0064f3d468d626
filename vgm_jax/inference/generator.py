"""A trained generator, ready to sample and to stream."""

import functools
import hashlib
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vgm_jax.data.text import Vocabulary
from vgm_jax.inference.checks import (
    check_counts,
    check_guided,
    check_positive,
    check_truncation,
    directed,
    key_of,
)
from vgm_jax.inference.conditions import AT_END, Listener, Wish, as_sound, read_sound
from vgm_jax.inference.words import learnt
from vgm_jax.inference.zoo import averaged, open_run
from vgm_jax.models.scene import Codes
from vgm_jax.tasks.generation import Generation
from vgm_jax.tasks.restoring import text_length
from vgm_jax.training import workdir as workdirs
from vgm_jax.types import AUDIO_RATE, Params

CHUNK = 16  # frames of a sample computed together; fixed, so that every length runs one program
ALL = "all"  # as a label: every class in turn
FURTHEST = 1000.0  # of guidance: far beyond, codes have no finite length
BLEND = 0.5  # seconds over which a stream goes from one condition to the next, by default


class Turn(NamedTuple):
    """What a stream is asked for by from `since` seconds on; what was before fades into it for `blend`."""

    wish: Wish
    since: float = -math.inf
    blend: float = 0.0
    still: Any = None  # what of it is painted once, as soon as it is shown alone


class FrameState(NamedTuple):
    """Where a stream is: all that its next frames depend on, beside parameters.

    key: of the sample. done: frames so far. asked: what by, the first alone until the next one's time.
    """

    key: jax.Array
    done: int
    asked: tuple[Turn, ...]


class FrameStream(Iterator[np.ndarray]):
    """The frames of one sample, uint8 [H W C], one by one; `ask` changes what is asked for while it runs."""

    def __init__(
        self,
        model: "GeneratorModel",
        state: FrameState,
        frames: int | None,
        fps: float,
        psi: float,
        guidance: float | None = None,
        at_once: int = 1,
    ):
        self.state, self._model, self._frames = state, model, frames
        self._fps, self._guidance, self._how = fps, guidance, (fps, psi, at_once)
        self._ready: list[np.ndarray] = []
        self._given, self._turn = 0, threading.RLock()  # who asks may be another thread than who draws

    def __next__(self) -> np.ndarray:
        if self._frames is not None and self._given >= self._frames:
            raise StopIteration
        if not self._ready:
            with self._turn:
                self.state, frames = self._model.advance(self.state, *self._how)
            self._ready = list(frames[::-1])
        self._given += 1
        return self._ready.pop()

    def ask(self, blend: float = BLEND, **conditions: Any) -> None:
        """From the next frames that are computed on, something else is asked for, over `blend` seconds.

        Conditions as in `GeneratorModel.sample`, their times from then on; none: nothing. By default
        `guidance` is what it was. Raises as that does.
        """
        if not blend >= 0:
            raise ValueError(f"blend={blend} must not be negative")
        with self._turn:
            if self._guidance is not None and directed(conditions):
                conditions = {"guidance": self._guidance} | conditions
            since = self.state.done / self._fps
            wish = self._model.wish(self._model.frames / self._model.fps, since, **conditions)
            self._guidance = conditions.get("guidance", self._guidance)
            # What was asked at the same time was never shown.
            asked = tuple(turn for turn in self.state.asked if turn.since < since)
            self.state = self.state._replace(asked=(*asked, Turn(wish, since, blend)))

    def told(self, line: str, blend: float = BLEND) -> None:
        """`ask`, as a person types it: a text; an empty line for nothing."""
        self.ask(blend, **({"text": line} if line else {}))


class GeneratorModel:
    """Samples clips of any length and frame rate.

    A pixel depends only on the parameters, the key, the index of the sample, the time in seconds and the
    condition: never on how many samples or frames are asked for together, beyond the rounding of differently
    batched programs.

    Args:
      params: of the averaged generator.
      frames, fps, size: of the training clips.
      step: the checkpoint's update.
      vocabulary, classes: what words and labels mean, where it can be asked for by them.
      words: of a text, at most.
    """

    def __init__(
        self,
        task: Generation,
        params: Params,
        *,
        frames: int,
        fps: float,
        step: int,
        size: int = 0,
        vocabulary: Vocabulary | None = None,
        classes: Sequence[str] = (),
        words: int = 0,
    ):
        self.frames, self.fps, self.step = frames, fps, step
        self._task, self._params = task, params
        self._window = getattr(task.generator, "window", 1.0)
        about = dict(
            vocabulary=vocabulary, classes=classes, words=words, size=size, fps=fps, window=self._window
        )
        self.listener = Listener(task, params, **about) if task.conditions else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """What samples can be asked for by, beside noise: of "text", "label", "audio", "image"."""
        return tuple("text" if name == "sentence" else name for name in self._task.conditions)

    @functools.cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the parameters."""
        return hash_of(self._params)

    @property
    def max_seconds(self) -> float | None:
        """The longest clip that the generator can make, or None: any."""
        frames = getattr(self._task.generator, "clip_frames", None)
        return None if frames is None else frames / self._task.generator.clip_fps

    def sample(
        self,
        key: jax.Array | int = 0,
        n: int = 1,
        frames: int | None = None,
        fps: float | None = None,
        text: str | Sequence[str] | None = None,
        image: Any = None,
        last_image: Any = None,
        audio: Any = None,
        label: int | str | Sequence[int | str] | None = None,
        truncation: float = 1.0,
        video: Any = None,
        pictures: Mapping[float, Any] | None = None,
        guidance: float | None = None,
        actions: Any = None,
    ) -> np.ndarray:
        """`n` clips of `frames` frames at `fps` (default: as in the training data) -> uint8 [n T H W C].

        Args:
          key: a JAX key or an integer seed.
          text: one for all clips, or one for each; words that the model knows, or any English ones where it
            was trained with the condition "sentence".
          label: likewise, classes by name or number; "all": every class in turn.
          image: the first frame: a file, or uint8 [H W 3]. last_image: the last one's.
          audio: a file, or float32 [S] at 16 kHz: motion follows it, and clips are as long by default.
          truncation: what noise is multiplied with; under 1, samples are more alike and of less surprise.
          video: a file, or uint8 [T H W 3] at the training data's frame rate, that is gone on from. The clip
            begins with its frames, as the generator paints them; by default it is a training clip longer.
          pictures: seconds -> what is to be seen then, as `image`: any number, at any times.
          guidance: above 1, samples show more plainly what text, label and audio ask for, and vary less.
          actions: of a causal generator alone (`inference.playing`).

        Raises ValueError for a number that is not positive, for a length that the generator cannot make, for
        a condition that it was not trained with or cannot be read.
        """
        self._check(frames, fps, n, truncation, {})
        check_guided(guidance, {"text": text, "label": label, "audio": audio})
        if audio is not None:
            self._check(frames, fps, n, truncation, {"audio": audio})
            audio = self.hear(audio, frames, fps)
        n = int(n)
        texts, labels = _each(text, n), _each(label, n)
        for name, values in (("text", texts), ("label", labels)):
            if len(values) != n:
                raise ValueError(f"{len(values)} {name}s were given for {n} clips")
        clips = []
        for i in range(n):
            asked = dict(text=texts[i], label=labels[i], audio=audio, image=image, last_image=last_image)
            asked |= {"video": video, "pictures": pictures, "guidance": guidance, "actions": actions}
            asked = {name: x for name, x in asked.items() if x is not None}
            length = frames if frames is not None or {"audio", "video"} & set(asked) else self.frames
            stream = self.stream(key, i, length, fps, truncation, at_once=CHUNK, **asked)
            clips.append(np.stack(list(stream)))
        return np.stack(clips)

    def stream(
        self,
        key: jax.Array | int = 0,
        index: int = 0,
        frames: int | None = None,
        fps: float | None = None,
        truncation: float = 1.0,
        *,
        guidance: float | None = None,
        at_once: int = 1,
        **conditions: Any,
    ) -> FrameStream:
        """The frames of sample `index`, one by one, uint8 [H W C].

        `frames` of them, or as many as the generator can make: for most, without end; with `audio`, as long
        as that is; with `video`, a training clip longer. Memory does not grow with the length. What it is
        asked for by can be changed as it runs, see `FrameStream.ask`. Of several frames that are computed
        `at_once` each takes less time, but the first waits for all. Conditions, and errors, as of `sample`.
        """
        self._check(frames, fps, 1, truncation, conditions | {"guidance": guidance})
        check_counts(at_once=at_once)
        conditions = {name: x for name, x in conditions.items() if x is not None}
        if guidance is not None and directed(conditions):  # else it is for what is asked later
            conditions["guidance"] = guidance
        fps = self.fps if fps is None else fps
        if conditions.get("label") == ALL and ALL not in self.listener.classes:
            conditions["label"] = index % self._task.generator.classes
        if "audio" in conditions:
            conditions["audio"] = self.hear(conditions["audio"], frames, fps)
        if "video" in conditions:
            conditions["video"] = self.listener.watch(conditions["video"])
            if frames is None and "audio" not in conditions:
                frames = round((len(conditions["video"]) + self.frames) / self.fps * fps)
        if frames is None and "audio" in conditions:
            frames = max(1, int(len(conditions["audio"]) / AUDIO_RATE * fps + 1e-6))
        if frames is None and self.max_seconds is not None:
            frames = max(1, int(self.max_seconds * fps + 1e-6))
        last = (self.frames - 1) / self.fps if frames is None else (frames - 1) / fps
        state = FrameState(key_of(key, index), 0, (Turn(self.wish(last, **conditions)),))
        return FrameStream(self, state, frames, fps, truncation, guidance, int(at_once))

    def wish(self, seconds: float, start: float = 0.0, **conditions: Any) -> Wish:
        """Conditions of so many seconds from `start` on, as the generator takes them. Raises as `sample`."""
        conditions = {name: x for name, x in conditions.items() if x is not None}
        self._check(None, None, 1, 1.0, conditions)
        if "audio" in conditions:
            conditions["audio"] = self.hear(conditions["audio"])
        return self.listener.wish(seconds, start, **conditions) if conditions else Wish()

    def hear(self, audio: Any, frames: int | None = None, fps: float | None = None) -> np.ndarray:
        """A file's sound, or an array, as far as a clip of so many frames hears it: float32 [S] at 16 kHz.

        Windows of motion are heard whole, so that none depends on the clip's length. Raises as `sample`.
        """
        seconds = None
        if frames is not None:
            seconds = self._window * math.ceil(frames / (fps or self.fps) / self._window - 1e-6)
        if isinstance(audio, str | os.PathLike):
            audio = read_sound(audio, seconds)
        return as_sound(audio)[: None if seconds is None else round(AUDIO_RATE * seconds)]

    def advance(
        self, state: FrameState, fps: float, truncation: float = 1.0, count: int = CHUNK
    ) -> tuple[FrameState, np.ndarray]:
        """The stream's next frames, uint8 [count H W C], and where it then is; changes nothing.

        What does not move is painted once, and then part of the state: `truncation` is to stay as it is.
        """
        seconds, since = chunk_times(state.done, fps, None if self.max_seconds else self._window, count)
        keys = state.key[None]

        def near(times: np.ndarray) -> np.ndarray:
            return (times - since * self._window).astype(np.float32)

        times = near(seconds)[None]
        # What has faded in by now is all that is left of what came before it.
        there = [i for i, turn in enumerate(state.asked) if seconds[0] - turn.since >= turn.blend]
        asked = state.asked[there[-1] :]
        if self._task.codes is None:
            frames = np.asarray(self._task.generate(self._params, keys, times, since))[0]
            return FrameState(state.key, state.done + count, asked), frames

        def codes(wish: Wish) -> Codes:
            asked = wish.asked(seconds[None], self._window)
            known = wish.known and wish.known._replace(times=near(wish.known.times))
            given = self._params, keys, times, asked, wish.shown, known, np.float32(truncation)
            if wish.guidance == 1.0:
                return self._task.imagine(*given, since)
            return self._task.guided(*given, np.float32(wish.guidance), since)

        found, still = codes(asked[0].wish), None
        if len(asked) == 1:
            still = asked[0].still or self._task.still(self._params, found._replace(motion=None))
            asked = (asked[0]._replace(still=still),)
        for turn in asked[1:]:
            part = np.clip((seconds - turn.since) / turn.blend, 0.0, 1.0).astype(np.float32)
            found = self._task.blend(found, codes(turn.wish), part)
        frames = np.asarray(self._task.paint(self._params, found, still))
        return FrameState(state.key, state.done + count, asked), frames.reshape(count, *frames.shape[2:])

    def _check(
        self, frames: int | None, fps: float | None, n: int, truncation: float, conditions: dict[str, Any]
    ) -> None:
        check_counts(n=n, frames=frames)
        check_positive(fps=fps)
        check_truncation(truncation)
        if truncation != 1 and self._task.codes is None:
            raise ValueError("this generator has no codes, so its samples cannot be truncated")
        for name, value in conditions.items():
            needed = "image" if name in ("last_image", "video", "pictures") else name
            served = self.conditions and name == "guidance"  # towards what it is asked for
            if value is not None and needed not in self.conditions and not served:
                have = ", ".join(self.conditions) or "noise alone"
                raise ValueError(f"this model was not trained with {name!r}: it generates from {have}")
        guidance = conditions.get("guidance")
        if guidance is not None and not 0 <= guidance <= FURTHEST:
            raise ValueError(f"guidance={guidance} must be in 0..{FURTHEST:g}")
        if self.max_seconds is not None and frames is not None:
            seconds = frames / (fps or self.fps)
            if seconds > self.max_seconds + 1e-6:
                raise ValueError(
                    f"this generator makes clips of at most {self.max_seconds:g} s; "
                    f"{seconds:g} s were asked for"
                )


def chunk_times(done: int, fps: float, window: float | None, count: int = CHUNK) -> tuple[np.ndarray, int]:
    """Seconds [count] of a stream's next frames, and how many windows of motion lie well behind them.

    In double precision: less these windows they are exact in single precision, too, after any time. Where a
    window ends and the next begins they are a little later, so that all take it for the next, however they
    round.
    """
    seconds = (done + np.arange(count)) / fps
    if window is None:
        return seconds, 0
    ends = np.round(seconds / window)
    at_end = (np.abs(seconds / window - ends) < AT_END) & (ends > 0)
    seconds = np.where(at_end, (ends + AT_END) * window, seconds)
    return seconds, max(0, int(seconds[0] // window) - 1)


def hash_of(params: Params) -> str:
    """SHA-256 of parameters, their names among it."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _each(value: Any, n: int) -> list[Any]:
    """One for each of `n` clips."""
    return [value] * n if value is None or np.ndim(value) == 0 else list(value)


def load(model: str | os.PathLike, step: int | None = None) -> GeneratorModel:
    """The generator of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Or of a model that comes with the package, by its name (`inference.zoo`). Raises WorkdirError where there
    is no run or no checkpoint, ValueError where the run is of another task.
    """
    workdir, config = open_run(model, "generation")
    task, params, at = averaged(workdir, step)
    vocabulary = learnt(workdirs.read_vocabulary(workdir), config.data)
    if vocabulary is None and "text" in task.conditions:
        raise workdirs.WorkdirError(f"{workdir} has no {workdirs.VOCABULARY}: its words are lost")
    if caution := task.caution(at):
        warnings.warn(f"{model}: {caution}", stacklevel=3)
    return GeneratorModel(
        task,
        params,
        frames=config.data.frames,
        fps=config.data.fps,
        step=at,
        size=config.data.size,
        vocabulary=vocabulary,
        classes=workdirs.read_classes(workdir),
        words=text_length(config),
    )
