"""What updates tell of themselves: read late, so that the device never waits for the host, and checked."""

import collections
import contextlib
import json
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from vgm_jax.training.partition import seldom
from vgm_jax.types import Batch, Key, State, Task

AHEAD = 2  # updates that the host runs ahead of the figures it reads: the device never waits for the host


class NonFiniteError(RuntimeError):
    """A figure of an update was not a finite number."""


@flax.struct.dataclass
class Report:
    """What one update tells, packed to be read in one piece: values [2, names] are sums and counts."""

    values: jax.Array
    names: tuple[str, ...] = flax.struct.field(pytree_node=False)


with contextlib.suppress(ValueError):  # where a notebook loads this module anew, it is registered
    jax.export.register_pytree_node_serialization(
        Report,
        serialized_name=f"{__name__}.Report",
        serialize_auxdata=lambda fields: json.dumps(fields).encode(),
        deserialize_auxdata=lambda data: tuple(tuple(field) for field in json.loads(data.decode())),
    )


class History:
    """Figures of updates, read `AHEAD` updates late, so that reading waits for nothing; checked and averaged.

    Args:
        log_every: updates between two calls of `log`.
        log: is given a step and the means since the last call, of figures that some update of these had.
        sums: `sums` of the history that this one continues.
    """

    def __init__(
        self,
        log_every: int,
        log: Callable[[int, dict[str, float]], None],
        sums: Any = None,
    ):
        self._log_every, self._log = log_every, log
        self._unread: collections.deque[tuple[int, Report]] = collections.deque()
        self.sums = np.zeros((2, 1)) if sums is None else np.array(sums)  # [2, names] of a report
        self._names: tuple[str, ...] = ()

    def add(self, step: int, report: Report) -> None:
        """Takes the report of an update that was just started."""
        self._unread.append((step, report))
        self.read(keep=AHEAD)

    def rest(self, step: int) -> None:
        """Logs the means of updates since the last log, which stay to be continued, where there are any."""
        if step % self._log_every:
            self._tell(step)

    def read(self, keep: int = 0) -> None:
        """Reads all but the last `keep` reports. Raises NonFiniteError."""
        while len(self._unread) > keep:
            step, report = self._unread.popleft()
            values, names = np.asarray(report.values, np.float64), report.names
            broken = [n for n, finite in zip(names, np.isfinite(values[0]), strict=True) if not finite]
            if broken:
                raise NonFiniteError(f"step {step}: {', '.join(broken)} not finite")
            self.sums, self._names = self.sums + values, names
            if step % self._log_every == 0:
                self._tell(step)
                self.sums = np.zeros_like(self.sums)

    def _tell(self, step: int) -> None:
        sums = zip(self._names, *self.sums.tolist(), strict=True)
        self._log(step, {name: total / count for name, total, count in sums if count})


def check_finite(state: State) -> None:
    """Raises NonFiniteError, naming leaves: a gradient can be none while the losses still are numbers."""
    finite = np.asarray(_finite(state))
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)]
    broken = [name for name, ok in zip(names, finite, strict=True) if not ok]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise NonFiniteError(f"step {int(state.step)}: state{broken[0]}{more} not finite")


@seldom
def _finite(state: State) -> jax.Array:
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state)])


def reported(task: Task) -> Callable:
    """The task's update with one root key for the run, its figures packed for `History`."""

    def step(state: State, batch: Batch, key: Key, axis_name: str | None) -> tuple[State, Report]:
        state, metrics = task.train_step(state, batch, jax.random.fold_in(key, state.step), axis_name)
        names = tuple(sorted(metrics))
        values = jnp.stack([jnp.stack([metrics[n][i] for n in names]) for i in (0, 1)])
        return state, Report(values, names)

    return step
