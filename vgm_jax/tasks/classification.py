"""Learning to say what clips show: several heads, and where the object is."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation, backwards, either
from vgm_jax.data.spoiling import IGNORED, NONE, spoil
from vgm_jax.data.transforms import sample_frames, to_float, to_uint8
from vgm_jax.data.views import VIEWS
from vgm_jax.models.classifiers import Judgement
from vgm_jax.tasks.rows import example_keys, join_rows, split_rows
from vgm_jax.training.optimizers import ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

LABELS = ("data", "direction")
RIGHT, WRONG = (40, 200, 60), (230, 40, 40)


@flax.struct.dataclass
class ClassifierState:
    """step int32: updates done. Parameters, their moving average, the optimiser's state."""

    step: Array
    params: Params
    average: Params
    opt: Any


def unravel(label: Array, sizes: Sequence[int]) -> list[Array]:
    """A mixed-radix number int32 [...] over `sizes`, the first slowest -> one int32 [...] a size."""
    digits = []
    for size in reversed(sizes):
        digits.append(label % size)
        label = label // size
    return digits[::-1]


class Classification:
    """Cross entropy over heads, and the squared error of a track. `tasks.build` makes it from a config.

    Args:
      classifier: a module of `models.classifiers`, with a head for each of `heads`.
      heads: (name, number of classes) of each part of the label.
      label: "data": a batch's "label", one number for all heads; "direction": half of the clips run
        backwards, and the label is whether one does.
      track_weight: of the mean squared error of a batch's "track" [B T 3], in tenths of a frame's side.
      frames_seen: frames of a clip that one update looks at; 0: all.
      spoil_every: every n-th clip of a batch is spoiled (`data.spoiling`; it needs "track"), and each head
        has one class more, the last one: none. 0: neither.
    """

    def __init__(
        self,
        classifier: Any,
        heads: Sequence[tuple[str, int]],
        *,
        optimizer: optax.GradientTransformation,
        ema_decay: float,
        label: str = "data",
        track_weight: float = 0.0,
        frames_seen: int = 0,
        augmentations: tuple[str, ...] = (),
        spoil_every: int = 0,
    ):
        if label not in LABELS:
            raise ValueError(f"model.label={label!r} is unknown; choose one of {', '.join(LABELS)}")
        if label == "direction" and [size for _, size in heads] != [2]:
            raise ValueError(f"model.label='direction' needs one head of 2 classes; model.heads is {heads}")
        if label == "direction" and "reverse" in augmentations:
            raise ValueError(
                "model.label='direction' reverses clips itself: take 'reverse' out of data.augment"
            )
        self.classifier, self.optimizer, self.ema_decay = classifier, optimizer, ema_decay
        self.names, self.sizes = tuple(name for name, _ in heads), tuple(size for _, size in heads)
        self.label, self.track_weight, self.frames_seen = label, track_weight, frames_seen
        self.augment = Augmentation(augmentations)
        self.spoil_every, self.outputs = spoil_every, tuple(size + bool(spoil_every) for size in self.sizes)

    def init(self, key: Key, batch: Batch) -> ClassifierState:
        frames = to_float(jnp.asarray(batch["video"])[:1])
        params = self.classifier.init(key, frames, jnp.asarray(batch["times"], jnp.float32)[:1])
        return ClassifierState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            average=jax.tree.map(jnp.copy, params),
            opt=self.optimizer.init(params),
        )

    def prepare(self, batch: Batch, keys: Array) -> Batch:
        """The batch as it is asked about: with "direction", some clips reversed, "label" saying which."""
        if self.label == "data":
            return batch
        reversed_ = jax.vmap(jax.random.bernoulli)(keys)
        batch = {name: value for name, value in batch.items() if not name.startswith("label")}
        batch = jax.vmap(lambda which, clip: either(which, backwards(clip), clip))(reversed_, batch)
        label = reversed_.astype(jnp.int32)
        # A mirrored clip runs as it did.
        return batch | {"label": label, "label" + VIEWS: jnp.stack([label, label, 1 - label, 1 - label], -1)}

    def judge(self, params: Params, frames: Array, times: Array) -> Judgement:
        """The classifier's Judgement; raises ValueError where its heads are not the task's."""
        found = self.classifier.apply(params, frames, times)
        sizes = tuple(logits.shape[-1] for logits in found.logits)
        if sizes != self.outputs:
            raise ValueError(f"the classifier's heads have {sizes} classes, not {self.outputs} (model.heads)")
        return found

    def losses(
        self, found: Judgement, labels: Array, track: Array | None, tracked: Array | float = 1.0
    ) -> tuple[Array, dict[str, tuple[Array, Array]]]:
        """Loss [B] of each clip, and figures with weights [B]: accuracies (means over frames), track error.

        labels int32 [B heads], some of them `NONE` or `IGNORED`; track [B T 3], `tracked` 1 where it holds.
        """
        loss, figures = jnp.zeros(len(labels)), {}
        for i, (name, size, logits) in enumerate(zip(self.names, self.sizes, found.logits, strict=True)):
            asked = (labels[:, i] != IGNORED).astype(jnp.float32)
            label = jnp.maximum(jnp.where(labels[:, i] == NONE, size, labels[:, i]), 0)
            if logits.ndim == 3:
                label = jnp.broadcast_to(label[:, None], logits.shape[:2])
            wrong = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            right = (jnp.argmax(logits, -1) == label).astype(jnp.float32)
            loss += asked * wrong.reshape(len(loss), -1).mean(1) / len(self.sizes)
            figures[f"accuracy/{name}"] = right.reshape(len(loss), -1).mean(1), asked
        if self.track_weight:
            error = jnp.mean(jnp.square(10.0 * (found.track - track)), (1, 2))
            loss += self.track_weight * tracked * error
            figures["track_error"] = error, jnp.broadcast_to(tracked, error.shape)
        return loss, figures

    def train_step(
        self, state: ClassifierState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[ClassifierState, Metrics]:
        keys = functools.partial(example_keys, batch_size=batch["video"].shape[0], axis_name=axis_name)
        label_key, frame_key, spoil_key, augment_key = jax.random.split(key, 4)
        batch = self.augment.in_time(self.prepare(batch, keys(label_key)), keys(augment_key))
        if self.frames_seen:
            choice = keys(frame_key), self.frames_seen
            if "track" in batch:
                batch = batch | {"track": sample_frames(batch["track"], batch["times"], *choice)[0]}
            video, times = sample_frames(batch["video"], batch["times"], *choice)
            batch = batch | {"video": video, "times": times}
        batch = self.augment.in_place(batch, keys(augment_key))
        video, track, tracked = batch["video"], batch.get("track"), 1.0
        labels = jnp.stack(unravel(batch["label"], self.sizes), -1)
        if self.spoil_every:
            video, labels, tracked = self.spoil(video, track, labels, keys(spoil_key))
        frames = to_float(self.augment.in_look({"video": video}, keys(augment_key))["video"])

        def loss(params):
            found = self.judge(params, frames, batch["times"])
            loss, figures = self.losses(found, labels, track, tracked)
            return loss.mean(), {"loss": (loss, jnp.ones_like(loss))} | figures

        gradient, figures = jax.grad(loss, has_aux=True)(state.params)
        metrics = {name: ((value * weight).sum(), weight.sum()) for name, (value, weight) in figures.items()}
        if axis_name is not None:
            gradient = jax.lax.pmean(gradient, axis_name)
            metrics = jax.lax.psum(metrics, axis_name)
        update, opt = self.optimizer.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, update)
        average = ema(state.average, params, state.step, self.ema_decay)
        return ClassifierState(state.step + 1, params, average, opt), metrics

    def spoil(self, video: Array, track: Array, labels: Array, keys: Array) -> tuple[Array, Array, Array]:
        """Every n-th clip spoiled: video uint8, labels [B heads], and where the track still holds [B]."""
        if track is None or len(video) % self.spoil_every:
            raise ValueError(
                f"data.spoil_every={self.spoil_every} needs clips with a track (data.shapeshow.track), and "
                f"must divide the {len(video)} clips of a batch (under pmap: of a device)"
            )
        (chosen, track, spoiled, keys), (others, _, rest, _) = split_rows(
            (video, track, labels, keys), self.spoil_every
        )
        frames, spoiled, tracked = spoil(to_float(chosen), track, spoiled, keys)
        return (
            join_rows(to_uint8(frames), others),
            join_rows(spoiled, rest),
            join_rows(tracked, jnp.ones(len(rest))),
        )

    @functools.partial(jax.jit, static_argnums=0)
    def examine(self, params: Params, batch: Batch, keys: Array) -> tuple[Batch, dict[str, Array]]:
        """The batch as it was asked about, and figures [B] of each clip: loss, and accuracy of each head."""
        batch = self.prepare(batch, keys)
        found = self.judge(params, to_float(batch["video"]), batch["times"])
        labels = jnp.stack(unravel(batch["label"], self.sizes), -1)
        loss, figures = self.losses(found, labels, batch.get("track"))
        return batch, {"loss": loss} | {name: value for name, (value, _) in figures.items()}

    def evaluate(self, state: ClassifierState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """Means over held-out clips of the averaged parameters' loss and accuracies; and how many clips."""
        sums, count, done = {}, 0.0, 0
        for batch in batches:
            mask = np.asarray(batch["mask"])
            batch = {name: jnp.asarray(value) for name, value in batch.items() if name != "mask"}
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(done + jnp.arange(len(mask)))
            for name, value in self.examine(state.average, batch, keys)[1].items():
                sums[name] = sums.get(name, 0.0) + float(np.sum(np.asarray(value) * mask))
            count += float(mask.sum())
            done += len(mask)
        return {name: value / count for name, value in sums.items()} | {"clips": count}

    def protocol(self) -> dict[str, Any]:
        """What is guessed."""
        return {"label": self.label, "heads": dict(zip(self.names, self.sizes, strict=True))}

    def show(self, state: ClassifierState, batch: Batch, key: Key) -> dict[str, Media]:
        """Clips as they were asked about, framed green where every head is right, else red."""
        n = min(16, len(batch["video"]))
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        batch = {name: jnp.asarray(value)[:n] for name, value in batch.items() if name != "mask"}
        batch, figures = self.examine(state.average, batch, keys)
        right = math.prod(np.asarray(figures[f"accuracy/{name}"]) > 0.5 for name in self.names)
        video, times = np.asarray(batch["video"]), np.asarray(batch["times"])
        framed = np.empty((*video.shape[:2], video.shape[2] + 4, video.shape[3] + 4, 3), np.uint8)
        framed[:] = np.where(right[:, None], RIGHT, WRONG)[:, None, None, None]
        framed[:, :, 2:-2, 2:-2] = video
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        return {"judged": Media(framed, fps)}
