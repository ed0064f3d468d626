"""A running answer: a causal trunk is given a clip as it comes, and remembers what it needs."""

import functools
import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.transforms import to_float
from vgm_jax.inference.conditions import as_sound
from vgm_jax.models.classifiers import TrunkClassifier
from vgm_jax.models.encoders.audio import HOP, WINDOW
from vgm_jax.models.layers import SAME
from vgm_jax.tasks.classification import Classification
from vgm_jax.types import AUDIO_RATE, Params

REBASE = 32.0  # seconds after which times are counted anew: float32 stays exact in a stream of any length


class Stream:
    """What is said of frames and sound at `fps`, tubelet by tubelet; of sound alone, patch by patch.

    The answer is that of the whole clip so far, to within rounding. Raises ValueError for a classifier
    without a causal trunk.
    """

    def __init__(self, task: Classification, params: Params, fps: float, sound: bool):
        trunk = getattr(task.classifier, "trunk", None)
        if not isinstance(task.classifier, TrunkClassifier) or not trunk.causal:
            raise ValueError(
                "a running answer needs a causal trunk: train with --config.model.classifier.name=trunk "
                "--config.model.trunk.causal=True"
            )
        self._classifier, self._params, self._trunk = task.classifier, params, trunk
        self.fps, self.sound = float(fps), sound
        self._past = trunk.empty(1, self.fps)
        self._span = trunk.windows * HOP  # samples from one patch of sound to the next
        self._frames: list[np.ndarray] = []
        self._audio = np.zeros(0, np.float32)
        self._seen = self._heard = 0  # frames, patches that went in
        self._base = 0.0  # seconds of what the network takes for 0

    def push(
        self, frames: np.ndarray | None, audio: np.ndarray | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Takes the next frames, uint8 [T H W 3], and the sound of the same time, float32 [S] at 16 kHz.

        Gives, of each tubelet that is complete, the seconds at which its last frame comes, and probabilities
        [classes]. Give sound with the frames, or before them, with `frames` empty: a frame is not kept
        waiting for it. None: there are no pictures, and the sound is answered by itself. Raises ValueError
        for arrays of another kind.
        """
        if frames is not None and len(frames):
            if "video" not in self._trunk.modalities:
                raise ValueError("this trunk sees no pictures: give None for frames")
            frames = np.asarray(frames)
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
                raise ValueError(f"frames must be uint8 [T H W 3]; got {frames.dtype} {frames.shape}")
        if audio is not None and self.sound and np.size(audio):
            self._audio = np.concatenate([self._audio, as_sound(audio)])
        if frames is None:
            return self._listen()
        self._frames += list(frames)
        return self._watch()

    def _watch(self, last: float = math.inf) -> Iterator[tuple[float, np.ndarray]]:
        """Of tubelets that are complete; `last`: the number of the last frame, which fills one up."""
        tube = self._trunk.tube
        while len(self._frames) >= tube:
            clip, self._frames = np.stack(self._frames[:tube]), self._frames[tube:]
            times = np.minimum(self._seen + np.arange(tube), last) / self.fps
            self._seen += tube
            self._rebase(times[0])
            piece = {"video": clip[None], "times": (times - self._base).astype(np.float32)[None]}
            if self.sound:
                piece |= self._patches(times[-1])
            yield float(times[-1]), self._step(piece)

    def finish(self) -> Iterator[tuple[float, np.ndarray]]:
        """As `push`, of what has come and fills no tubelet or patch: its last frame stays, or silence."""
        yield from self._watch()
        if self._frames:
            last = self._seen + len(self._frames) - 1
            self._frames += [self._frames[-1]] * (self._trunk.tube - len(self._frames))
            yield from self._watch(last)
        if not self._seen:
            yield from self._listen()
        overlap = (WINDOW - HOP) * bool(self._heard)  # of what is held, heard already
        if not self._seen and len(self._audio) > overlap:
            last = (self._heard * self._span + len(self._audio)) / AUDIO_RATE
            silence = np.zeros(self._span - HOP + WINDOW - len(self._audio), np.float32)
            for _, probabilities in self.push(None, silence):
                yield last, probabilities

    def _listen(self) -> Iterator[tuple[float, np.ndarray]]:
        while len(self._audio) >= self._span - HOP + WINDOW:
            end = (self._heard * self._span + self._span - HOP + WINDOW) / AUDIO_RATE
            self._rebase(end)
            yield end, self._step(self._patches(end))

    def _patches(self, now: float) -> dict[str, np.ndarray]:
        """The sound of the patches that have ended by `now`, maybe none; it is dropped from what is held."""
        start = self._heard * self._span  # the sample that `_audio` begins with
        due = int((AUDIO_RATE * (now + SAME) - start - WINDOW + HOP) // self._span)
        due = max(0, min(due, (len(self._audio) - WINDOW + HOP) // self._span))
        taken = self._audio[: due * self._span + WINDOW - HOP] if due else self._audio[:0]
        self._audio = self._audio[due * self._span :]
        self._heard += due
        begins = np.array([start / AUDIO_RATE - self._base], np.float32)
        return {"audio": taken[None], "audio_start": begins}

    def _rebase(self, now: float) -> None:
        if now - self._base > REBASE:
            shift = np.float32(now - self._base)
            self._past = {k: c._replace(times=c.times - shift) for k, c in self._past.items()}
            self._base += float(shift)

    def _step(self, piece: dict[str, np.ndarray]) -> np.ndarray:
        found, past = _piece(self._classifier, self._params, piece, self._past)
        self._past = self._past | past
        return np.asarray(found)[0, -1]


@functools.partial(jax.jit, static_argnums=0)
def _piece(classifier, params, piece, past):
    if "video" in piece:
        piece = piece | {"video": to_float(piece["video"])}
    logits, past = classifier.apply(params, piece, past, method="piece")
    return joint(logits), past


def joint(logits: Sequence[jax.Array]) -> jax.Array:
    """Probabilities [... product of N] of every combination, of heads' logits [... N], the first slowest."""
    p = jnp.ones((*logits[0].shape[:-1], 1))
    for x in logits:
        p = (p[..., :, None] * jax.nn.softmax(x)[..., None, :]).reshape(*p.shape[:-1], -1)
    return p
