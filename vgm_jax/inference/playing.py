"""A trained causal generator: video that begins with a picture and follows actions, frame by frame."""

import collections
import operator
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from vgm_jax.inference.checks import check_counts, check_truncation, key_of
from vgm_jax.inference.conditions import read_picture
from vgm_jax.inference.zoo import averaged, open_run
from vgm_jax.tasks.autoregression import Autoregression
from vgm_jax.types import Params


class PlayStream(Iterator[np.ndarray]):
    """The frames of one sample, uint8 [H W C], one by one; `push` says what is done as it runs.

    Each frame takes the next action; when there is none any more, the last one goes on.
    """

    def __init__(
        self,
        model: "PlayModel",
        key: jax.Array,
        first: np.ndarray,
        actions: Sequence[int],
        frames: int | None,
        truncation: float,
    ):
        self._model, self._key, self._frames = model, key, frames
        self._truncation = np.float32(truncation)
        self._first, self._state, self._given = first, model.start(first), 0
        self._actions, self._held = collections.deque(actions), model.idle

    def push(self, *actions: int) -> None:
        """What leads to the next frames, one each. Raises ValueError for what is no action."""
        self._actions.extend(self._model.check_actions(actions))

    def told(self, line: str, blend: float = 0.0) -> None:
        """`push`, as a person types it: whole numbers, by commas. Actions are not blended."""
        try:
            actions = [int(number) for number in line.split(",")] if line else []
        except ValueError:
            raise ValueError(f"{line!r} must be whole numbers, by commas") from None
        self.push(*actions)

    def __next__(self) -> np.ndarray:
        if self._frames is not None and self._given >= self._frames:
            raise StopIteration
        frame = self._first
        if self._given:
            if self._actions:
                self._held = self._actions.popleft()
            self._state, frame = self._model.advance(
                self._state, self._key, self._given, self._held, self._truncation
            )
        self._given += 1
        return frame


class PlayModel:
    """Samples clips that begin with a picture and follow actions, of any length, in constant memory.

    A frame depends only on the parameters, the key, the index of the sample, the first frame, and the actions
    up to it.

    Args:
      params: of the averaged generator.
      frames, fps, size: of the training clips.
      step: the checkpoint's update.
    """

    max_seconds = None  # any

    def __init__(
        self, task: Autoregression, params: Params, *, frames: int, fps: float, size: int, step: int
    ):
        self.frames, self.fps, self.size, self.step = frames, fps, size, step
        self._task, self._params = task, params

    @property
    def actions(self) -> int:
        """How many kinds of actions it follows, numbered from 0; 0: none."""
        return self._task.generator.actions

    @property
    def idle(self) -> int:
        """The action that is done before anything is said: nothing."""
        return self._task.generator.idle

    @property
    def conditions(self) -> tuple[str, ...]:
        """What samples can be asked for by, beside noise."""
        return ("image", "actions") if self.actions else ("image",)

    def sample(
        self,
        key: jax.Array | int = 0,
        n: int = 1,
        frames: int | None = None,
        fps: float | None = None,
        image: Any = None,
        actions: Sequence[int] | None = None,
        truncation: float = 1.0,
        **others: Any,
    ) -> np.ndarray:
        """`n` clips -> uint8 [n T H W C], of the same beginning and actions, and other noise.

        Args:
          key: a JAX key or an integer seed.
          frames: by default the picture and a frame for each action; without actions as in training.
          fps: that of training, or None.
          image: the first frame: a file, or uint8 [H W 3]. None: made of noise, where that was learnt.
          actions: ints, what leads to each frame after the first; the last one goes on. None: `idle`.
          truncation: what noise is multiplied with.

        Raises ValueError for a number that is not positive, a condition that it was not trained with, an
        action that there is not, and a picture that is needed or cannot be read.
        """
        check_counts(n=n)
        n = int(n)
        if frames is None:
            frames = self.frames if actions is None else 1 + len(self.check_actions(actions))
        asked = dict(image=image, actions=actions, **others)
        return np.stack(
            [np.stack(list(self.stream(key, i, frames, fps, truncation, **asked))) for i in range(n)]
        )

    def stream(
        self,
        key: jax.Array | int = 0,
        index: int = 0,
        frames: int | None = None,
        fps: float | None = None,
        truncation: float = 1.0,
        *,
        image: Any = None,
        actions: Sequence[int] | None = None,
        **others: Any,
    ) -> PlayStream:
        """The frames of sample `index`, one by one, uint8 [H W C]; without `frames`, without end.

        `PlayStream.push` says what is done next; before that, with `actions` None, it is `idle`.
        Conditions, and errors, as of `sample`.
        """
        check_counts(frames=frames)
        check_truncation(truncation)
        if fps is not None and not abs(fps - self.fps) <= 1e-6:
            raise ValueError(f"this generator goes from frame to frame, {self.fps:g} a second; not fps={fps}")
        for name, value in others.items():
            if value is not None:
                have = ", ".join(self.conditions)
                raise ValueError(f"this model was not trained with {name!r}: it generates from {have}")
        done = self.check_actions(() if actions is None else actions)
        key = key_of(key, index)
        if image is not None:
            first = read_picture(image, self.size)
        elif self._task.start_stride:
            first = np.asarray(self._task.begin(self._params, key[None], np.float32(truncation)))[0]
        else:
            raise ValueError(
                "this model needs a picture to begin with (image; `vgm sample --image FILE`); with "
                "--config.objective.start_stride above 0 in training it would not"
            )
        return PlayStream(self, key, first, done, frames, truncation)

    def check_actions(self, actions: Sequence[int]) -> tuple[int, ...]:
        """The same, as ints. Raises ValueError for what is no action of this model."""
        try:
            found = tuple(operator.index(action) for action in actions)
        except TypeError as error:
            raise ValueError(f"actions must be integers; got {actions!r}") from error
        if found and not self.actions:
            raise ValueError("this model takes no actions: it was trained with model.generator.actions=0")
        wrong = [action for action in found if not 0 <= action < self.actions]
        if wrong:
            raise ValueError(f"there is no action {wrong[0]}; they are 0..{self.actions - 1}")
        return found

    def start(self, first: np.ndarray) -> Any:
        """The state of a stream that begins with uint8 [H W C], at rest."""
        return self._task.rest(self._params, np.asarray(first)[None])

    def advance(
        self, state: Any, key: jax.Array, number: int, action: int, truncation: float
    ) -> tuple[Any, np.ndarray]:
        """Frame `number` of a stream, after an action: its state, and uint8 [H W C]."""
        given = np.int32(number), np.int32(action), np.float32(truncation)
        state, frame = self._task.advance(self._params, state, key, *given)
        return state, np.asarray(frame)


def load_player(model: str | os.PathLike, step: int | None = None) -> PlayModel:
    """The causal generator of a workdir: of the checkpoint that validation picked, or `step`, or the last.

    Raises WorkdirError where there is no run or no checkpoint, ValueError where the run is of another task.
    """
    workdir, config = open_run(model, "autoregression")
    task, params, at = averaged(workdir, step)
    data = config.data
    return PlayModel(task, params, frames=data.frames, fps=data.fps, size=data.size, step=at)
