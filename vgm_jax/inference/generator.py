"""A trained generator, ready to sample and to stream."""

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vgm_jax.tasks import build
from vgm_jax.tasks.generation import Generation
from vgm_jax.training import workdir as workdirs
from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.partition import Partition
from vgm_jax.types import Params

CHUNK = 16  # frames of one video computed together; fixed, so that every length runs one program


class GeneratorModel:
    """Samples clips of any length and frame rate.

    A pixel depends only on the parameters, the key, the index of the sample and the time in seconds: never on
    how many samples or frames are asked for together, beyond the rounding of differently batched programs.
    """

    def __init__(self, task: Generation, params: Params, *, frames: int, fps: float, step: int):
        self.frames, self.fps, self.step = frames, fps, step  # of the training clips; the checkpoint's update
        self._task, self._params = task, params

    @property
    def conditions(self) -> tuple[str, ...]:
        """What samples can be asked for by, beside noise."""
        return ()

    @functools.cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the parameters."""
        digest = hashlib.sha256()
        for path, leaf in jax.tree.leaves_with_path(self._params):
            digest.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
        return digest.hexdigest()

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
        text: Any = None,
        image: Any = None,
        last_image: Any = None,
        audio: Any = None,
        label: Any = None,
    ) -> np.ndarray:
        """`n` clips of `frames` frames at `fps` (default: as in the training data) -> uint8 [n T H W C].

        `key` is a JAX key or an integer seed. Raises ValueError for a number that is not positive, for a
        length that the generator cannot make, and for a condition that it was not trained with.
        """
        self._check(frames, fps, n, text=text, image=image, last_image=last_image, audio=audio, label=label)
        frames = self.frames if frames is None else frames
        clips = [np.stack(list(self._frames(key, i, frames, fps))) for i in range(n)]
        return np.stack(clips)

    def stream(
        self,
        key: jax.Array | int = 0,
        index: int = 0,
        frames: int | None = None,
        fps: float | None = None,
        **conditions: Any,
    ) -> Iterator[np.ndarray]:
        """The frames of sample `index`, one by one, uint8 [H W C].

        `frames` of them, or as many as the generator can make: for most, without end. Memory does not grow
        with the length. Raises as `sample` does.
        """
        if frames is None and self.max_seconds is not None:
            frames = max(1, int(self.max_seconds * (fps or self.fps) + 1e-6))
        self._check(frames, fps, 1, **conditions)
        return self._frames(key, index, frames, fps)

    def _frames(self, key, index: int, frames: int | None, fps: float | None) -> Iterator[np.ndarray]:
        fps = self.fps if fps is None else fps
        keys = jax.random.fold_in(_as_key(key), index)[None]
        done = 0
        while frames is None or done < frames:
            # Time in double precision on the host: a stream of hours must not lose its frame rate.
            times = ((done + np.arange(CHUNK)) / fps).astype(np.float32)[None]
            clip = np.asarray(self._task.generate(self._params, keys, times))[0]
            yield from clip if frames is None else clip[: frames - done]
            done += CHUNK

    def _check(self, frames, fps, n, **conditions) -> None:
        for name, value in (("n", n), ("frames", frames), ("fps", fps)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} must be positive")
        for name, value in conditions.items():
            if value is not None:
                have = ", ".join(self.conditions) or "noise alone"
                raise ValueError(f"this model was not trained with {name!r}: it generates from {have}")
        if self.max_seconds is not None:
            seconds = (self.frames if frames is None else frames) / (fps or self.fps)
            if seconds > self.max_seconds + 1e-6:
                raise ValueError(
                    f"this generator makes clips of at most {self.max_seconds:g} s; "
                    f"{seconds:g} s were asked for"
                )


def _as_key(key: jax.Array | int) -> jax.Array:
    return jax.random.key(key) if isinstance(key, int | np.integer) else key


def load(model: str | os.PathLike, step: int | None = None) -> GeneratorModel:
    """The generator of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Raises WorkdirError where there is no run or no checkpoint, ValueError where the run is of another task.
    """
    workdir = Path(model).expanduser()
    config = workdirs.read_config(workdir)
    try:
        task = build(config)
    except (AttributeError, KeyError) as error:
        raise workdirs.WorkdirError(
            f"{workdir} was trained by another version of vgm_jax: its config does not fit ({error})"
        ) from error
    if not isinstance(task, Generation):
        raise ValueError(f"{workdir} holds a run of task {config.task!r}; sampling needs 'generation'")
    # Of the data only its shape is needed: a model outlives the videos that it was trained on.
    frames, size = config.data.frames, config.data.size
    batch = {
        "video": np.zeros((2, frames, size, size, 3), np.uint8),
        "times": np.zeros((2, frames), np.float32),
    }
    template = Partition().template(task.init, jax.random.key(0), batch)
    checkpoints = Checkpoints(workdir / "checkpoints", config.checkpoint.keep, config.checkpoint.best)
    try:
        restored = checkpoints.restore(template, checkpoints.best_step if step is None else step)
    finally:
        checkpoints.close()
    if restored is None:
        raise workdirs.WorkdirError(f"{workdir} has no checkpoint yet; train first")
    state, at = restored
    params = jax.device_get(state.generator_ema)
    return GeneratorModel(
        task, jax.device_put(params), frames=config.data.frames, fps=config.data.fps, step=at
    )
