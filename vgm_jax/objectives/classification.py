"""Losses of classes: arrays in, float32 scalars out."""

import jax
import jax.numpy as jnp
import optax


def class_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """-E log P(y | x), P the softmax of logits [B C], labels int32 [B].

    On generated x~ and the classes that they were asked for, it is the classification loss of f-CLSWGAN
    (arXiv 1712.00981, eq. 3), which the generator minimises with weight beta beside the Wasserstein game
    (eq. 4); on real ones, what its classifier learnt from before (sec. 3.1).
    """
    logits = jnp.asarray(logits, jnp.float32)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
