"""Masked video modelling: a trunk learns from clips alone, by telling what is hidden."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation
from vgm_jax.data.transforms import to_float, to_uint8
from vgm_jax.models.encoders.masked import MaskedVideo, Told, changes, normalised
from vgm_jax.tasks.descent import Trained, begin, descend
from vgm_jax.tasks.restoring import Start
from vgm_jax.tasks.rows import example_keys
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

GREY = 0.0


class MaskedVideoModelling:
    """The squared error of hidden patches (VideoMAE, arXiv 2203.12602). `tasks.build` makes it from a config.

    Args:
      model: of a trunk that sees video.
      part: of a clip's patches, hidden in all its frames (tubes), rounded to whole patches.
      whole_weight: of the part of changes that pooled vectors leave unexplained; `model.whole` says whether
        they are asked.

    Raises:
      ValueError: where the trunk sees no video, or nothing or everything would be hidden.
    """

    def __init__(
        self,
        model: MaskedVideo,
        *,
        optimizer: optax.GradientTransformation,
        ema_decay: float,
        part: float = 0.9,
        whole_weight: float = 0.0,
        augmentations: Sequence[str] = (),
        start: Start | None = None,
    ):
        if "video" not in model.trunk.modalities:
            raise ValueError(
                f"task 'masked_video' needs 'video' in model.modalities={model.trunk.modalities}"
            )
        self.side = model.trunk.side // model.trunk.patch
        self.count = round(part * self.side**2)
        if not 0 < self.count < self.side**2:
            raise ValueError(
                f"objective.hidden={part} hides {self.count} of {self.side**2} patches; choose within 0..1"
            )
        self.model, self.optimizer, self.ema_decay, self.start = model, optimizer, ema_decay, start
        self.whole_weight = whole_weight
        self.part, self.augment = part, Augmentation(augmentations)

    def init(self, key: Key, batch: Batch) -> Trained:
        clip = {"video": to_float(jnp.asarray(batch["video"])[:1]), "times": jnp.asarray(batch["times"])[:1]}
        params = self.model.init(key, clip, self.hide(key[None]))
        return begin(params if self.start is None else self.start.put_into(params), self.optimizer)

    def hide(self, keys: Array) -> Array:
        """Which patches are hidden, bool [B side side], as many of each clip; keys [B]."""

        def choose(key):
            order = jnp.argsort(jax.random.uniform(key, (self.side**2,)))
            return (order < self.count).reshape(self.side, self.side)

        return jax.vmap(choose)(keys)

    def losses(self, params: Params, batch: Batch, hidden: Array) -> tuple[dict[str, Array], Told]:
        """Figures [B] and what was told. "hidden": mean squared error of hidden patches, normalised; "whole":
        the part of changes that the pooled vector leaves unexplained; "loss": their weighted sum.
        """
        clip = {"video": to_float(batch["video"]), "times": batch["times"]}
        found = self.model.apply(params, clip, hidden)
        patches = self.model.patches(clip["video"])
        error = jnp.square(found.patches - normalised(patches)[0]).mean((1, 4))
        loss = (error * hidden).sum((1, 2)) / self.count
        figures = {"hidden": loss}
        if found.changes is not None:
            figures["whole"] = jnp.square(found.changes - changes(patches)).mean((1, 2, 3, 4))
            loss = loss + self.whole_weight * figures["whole"]
        return {"loss": loss} | figures, found

    def train_step(
        self, state: Trained, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Trained, Metrics]:
        hide_key, augment_key = jax.random.split(key)
        keys = functools.partial(example_keys, batch_size=batch["video"].shape[0], axis_name=axis_name)
        batch = self.augment({k: batch[k] for k in ("video", "times")}, keys(augment_key))
        hidden = self.hide(keys(hide_key))

        def loss(params):
            figures, _ = self.losses(params, batch, hidden)
            ones = jnp.ones_like(figures["loss"])
            return figures["loss"].mean(), {name: (value, ones) for name, value in figures.items()}

        gradient, figures = jax.grad(loss, has_aux=True)(state.params)
        return descend(state, gradient, figures, self.optimizer, self.ema_decay, axis_name)

    @functools.partial(jax.jit, static_argnums=0)
    def examine(self, params: Params, batch: Batch, keys: Array) -> tuple[dict[str, Array], Array, Array]:
        """Figures [B]; and clips [B T H W 3] in [-1, 1] without what is hidden, and as that was told."""
        hidden = self.hide(keys)
        figures, found = self.losses(params, batch, hidden)
        patches = self.model.patches(to_float(batch["video"]))
        _, mean, spread = normalised(patches)
        where = hidden[:, None, :, :, None]
        seen = jnp.where(where, GREY, patches)
        told = jnp.where(where, found.patches * spread + mean, patches)
        return figures, self._join(seen), self._join(told)

    def _join(self, patches: Array) -> Array:
        """The inverse of `MaskedVideo.patches`: -> [B T H W 3]."""
        b, t, h, w, _ = patches.shape
        p, tube = self.model.trunk.patch, self.model.trunk.tube
        x = patches.reshape(b, t, h, w, p, p, tube, 3).transpose(0, 1, 6, 2, 4, 3, 5, 7)
        return x.reshape(b, t * tube, h * p, w * p, 3)

    def evaluate(self, state: Trained, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """The mean figures of the averaged parameters over held-out clips; and how many."""
        total: dict[str, float] = {}
        count, done = 0.0, 0
        for batch in batches:
            mask = np.asarray(batch["mask"])
            clips = {name: jnp.asarray(batch[name]) for name in ("video", "times")}
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(done + jnp.arange(len(mask)))
            for name, value in self.examine(state.average, clips, keys)[0].items():
                total[name] = total.get(name, 0.0) + float(np.sum(np.asarray(value) * mask))
            count, done = count + float(mask.sum()), done + len(mask)
        return {name: value / count for name, value in total.items()} | {"clips": count}

    def protocol(self) -> dict[str, Any]:
        """How much is hidden."""
        return {"hidden": self.part, "patch": self.model.trunk.patch, "tube": self.model.trunk.tube}

    def show(self, state: Trained, batch: Batch, key: Key) -> dict[str, Media]:
        """Clips without what is hidden, with it as the network tells it, and as they are, side by side."""
        n = min(8, len(batch["video"]))
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        clips = {name: jnp.asarray(batch[name])[:n] for name in ("video", "times")}
        _, seen, told = self.examine(state.average, clips, keys)
        real = self._join(self.model.patches(to_float(clips["video"])))
        video = np.concatenate([np.asarray(to_uint8(x)) for x in (seen, told, real)], 3)
        times = np.asarray(batch["times"])
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        return {"masked": Media(video, fps)}
