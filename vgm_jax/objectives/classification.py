"""Losses of classes: arrays in, float32 out."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax


def class_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-E log P(y | x), P the softmax of logits [B C], labels int32 [B].

    On generated x~ and the classes that they were asked for, it is the classification loss of f-CLSWGAN
    (arXiv 1712.00981, eq. 3), which the generator minimises with weight beta beside the Wasserstein game
    (eq. 4); on real ones, what its classifier learnt from before (sec. 3.1).
    """
    logits = jnp.asarray(logits, jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def layout_loss(
    logits: jax.Array, layout: jax.Array, kinds: Sequence[int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What is said of a clip's places against what is there.

    Args:
      logits: [B T h w sum(n + 1) + 2]: of each property "nothing" and its n kinds; then, by their hyperbolic
        tangent, x and y within the place.
      layout: [B T h w K + 2], of each property its kind, from 1, 0 where there is nothing; x and y in -1..1.
      kinds: how many there are of each of the K properties.

    Returns:
      Loss [B], the mean over places and properties of the cross entropy, places with something and without
      making up a half each, with the squared error of x and y where there is something; the part [B] of the
      latter places of which all properties are right; and how many they are [B].
    """
    logits, labels = jnp.asarray(logits, jnp.float32), layout[..., :-2].astype(jnp.int32)
    *parts, within = jnp.split(logits, np.cumsum([n + 1 for n in kinds]), -1)
    there = (labels[..., 0] > 0).astype(jnp.float32)
    nothing, axes = 1.0 - there, (1, 2, 3)
    each = [
        optax.softmax_cross_entropy_with_integer_labels(part, labels[..., i]) for i, part in enumerate(parts)
    ]
    right = jnp.stack([part.argmax(-1) == labels[..., i] for i, part in enumerate(parts)]).all(0)
    wrong = sum(each) / len(each)
    away = jnp.square(jnp.tanh(within) - layout[..., -2:]).sum(-1)
    count = there.sum(axes)
    some, none = jnp.maximum(count, 1.0), jnp.maximum(nothing.sum(axes), 1.0)
    loss = 0.5 * ((there * (wrong + away)).sum(axes) / some + (nothing * wrong).sum(axes) / none)
    return loss, (there * right).sum(axes) / some, count
