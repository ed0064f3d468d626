"""The few types that every room agrees on."""

import dataclasses
from typing import Any, Protocol

import jax
import numpy as np

Array = jax.Array
Key = jax.Array
Params = Any
State = Any
# A missing modality is a missing key. video uint8 [B T H W C]; times float32 [B T] seconds from the clip's
# start; audio float32 [B S] mono 16 kHz in [-1, 1], starting with the clip; label int32 [B]; text and
# question int32 [B L] ids of words, 0 = padding; sentence float32 [B 384], what a caption means, 0 throughout
# where there is none; layout float32 [B T h w K+2] of what is in each cell of a picture: K properties' kinds
# from 1, 0 = nothing, and x and y in -1..1; answer and kind (of the question) int32 [B]; importance float32
# [B T] and shot int32 [B T] of films; action int32 [B T], 0 or more, what led to each frame from the one
# before (the first frame's came before the clip).
Batch = dict[str, Array]
# name -> (sum, count), so that means over shards, padded batches and log intervals are exact.
Metrics = dict[str, tuple[Array, Array]]

AUDIO_RATE = 16_000
SENTENCE = 384  # numbers of "sentence"


@dataclasses.dataclass(frozen=True)
class Media:
    """Clips a person would look at: video uint8 [N T H W C], audio float32 [N S] at 16 kHz or None."""

    video: np.ndarray
    fps: float
    audio: np.ndarray | None = None


class Task(Protocol):
    """What is learnt, as pure functions over one State. The training loop sees nothing else.

    A State is a pytree of arrays with an int32 scalar `step`: the number of updates done. A task that learns
    from something else than a source's items has `view(source)`, the source as it wants it. One whose update
    has parts that begin late may have `early() -> (until, task)`: a task whose first updates, those with
    numbers below `until`, are the same, and compile sooner. One that begins with what another run learnt has
    that in `start`, of which `init` takes it; with None there it gives a state of the same shapes. Where
    nothing but the config and a batch's shapes decides what `init` and `train_step` do, no data, `by_config`
    is True: what was traced of them may be kept.
    """

    def init(self, key: Key, batch: Batch) -> State:
        """State before the first update; `batch` only gives shapes."""

    def train_step(
        self, state: State, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[State, Metrics]:
        """One update. Jittable, no side effects.

        `axis_name`: the mapped axis under pmap, over which gradients are averaged.
        """

    def evaluate(self, state: State, batches: Any, key: Key) -> dict[str, float]:
        """Figures on held-out batches."""

    def protocol(self) -> dict[str, Any]:
        """What the figures of `evaluate` depend on beside the batches, fit for JSON."""

    def show(self, state: State, batch: Batch, key: Key) -> dict[str, Media]:
        """What a person would look at."""
