"""Optimisers and schedules from plain values. Schedules count updates; none depends on a run's length."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array], jax.Array]


def schedule(start: float, end: float, steps: int, warmup: int = 0) -> Schedule:
    """A linear rise from 0 over `warmup` updates, a cosine from `start` to `end` over `steps`, then constant.

    `steps` = 0 keeps `start`. (SGDR, arXiv 1608.03983, eq. 5, without restarts.)
    """

    def value(count):
        count = jnp.asarray(count, jnp.float32)
        progress = jnp.clip((count - warmup) / steps, 0.0, 1.0) if steps else 0.0
        result = end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        return result * jnp.minimum((count + 1) / warmup, 1.0) if warmup else result

    return value


def make_adam(
    *,
    learning_rate: float,
    learning_rate_end: float,
    b1: float,
    b2: float,
    b2_end: float,
    warmup_steps: int,
    decay_steps: int,
    clip_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980), with schedules of its rate and its second decay; `clip_norm` 0: no clipping.

    With b1 = 0, as is usual for GANs, no first moment is kept: RMSProp whose average is corrected for its
    start from zero, which is the same.
    """

    def rule(learning_rate, b2):
        if b1:
            return optax.adam(learning_rate, b1, b2, eps=1e-8)
        return optax.rmsprop(learning_rate, b2, eps=1e-8, eps_in_sqrt=False, bias_correction=True)

    adam = optax.inject_hyperparams(rule, hyperparam_dtype=jnp.float32)(
        schedule(learning_rate, learning_rate_end, decay_steps, warmup_steps),
        schedule(b2, b2_end, decay_steps) if b2 != b2_end else b2,
    )
    return optax.chain(optax.clip_by_global_norm(clip_norm), adam) if clip_norm else adam


def apart(
    most: optax.GradientTransformation, some: optax.GradientTransformation, names: tuple[str, ...]
) -> optax.GradientTransformation:
    """`some` for the parameters under one of `names` in the tree, at any depth, `most` for the others."""

    def label(path: Any, _: Any) -> str:
        return "some" if any(key.key in names for key in path) else "most"

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(label, params)

    return optax.multi_transform({"most": most, "some": some}, labels)


def ema(average: Any, params: Any, step: jax.Array, decay: float) -> Any:
    """Exponential moving average, whose memory grows at first, so that the start is soon forgotten."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), average, params)
