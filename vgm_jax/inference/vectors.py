"""A trained generator of feature vectors: as many as one likes of any class it knows."""

import os
from collections.abc import Sequence

import jax
import numpy as np

from vgm_jax.inference.checks import as_key, check_counts
from vgm_jax.inference.zoo import open_run
from vgm_jax.tasks import build
from vgm_jax.tasks.feature_gan import FeatureGAN
from vgm_jax.tasks.feature_state import FeatureGANState
from vgm_jax.tasks.restoring import restore
from vgm_jax.training import workdir as workdirs


class VectorModel:
    """Makes vectors: `sample`. `names` are its classes, `size` the numbers of a vector."""

    def __init__(self, task: FeatureGAN, state: FeatureGANState, names: Sequence[str], step: int):
        self.names, self.step = tuple(names) or tuple(map(str, range(task.classes))), step
        self._task, self._state = task, state
        self.size = len(state.standard.mean)

    def sample(
        self, key: jax.Array | int = 0, n: int = 1, label: int | str | Sequence[int | str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`n` vectors float32 [n size], as those it learnt from, and their classes int32 [n].

        Args:
          key: a JAX key or an integer seed.
          label: a class by name or number, or one for each vector; None: all classes in turn.

        Raises ValueError for a class that there is not, and a number of labels other than `n`.
        """
        check_counts(n=n)
        if label is None:
            label = np.arange(n) % len(self.names)
        labels = [label] * n if isinstance(label, str | int | np.integer) else list(label)
        if len(labels) != n:
            raise ValueError(f"{len(labels)} labels were given for {n} vectors")
        numbers = np.array([self._class(label) for label in labels], np.int32)
        return self._task.sample(self._state, as_key(key), numbers), numbers

    def _class(self, label: int | str) -> int:
        if isinstance(label, str) and label in self.names:
            return self.names.index(label)
        if isinstance(label, str) or label not in range(len(self.names)):
            raise ValueError(f"there is no class {label!r}; choose one of {', '.join(self.names)}")
        return int(label)


def load_vectors(model: str | os.PathLike, step: int | None = None) -> VectorModel:
    """The generator of a run of task "feature_gan": of the checkpoint that validation picked, or the last.

    Or of `step`. Raises WorkdirError where there is no run or no checkpoint, ValueError for another task.
    """
    workdir, _ = open_run(model, "feature_gan")
    _, task, state, at = restore(workdir, build, step)
    return VectorModel(task, jax.device_put(jax.device_get(state)), workdirs.read_classes(workdir), at)
