"""Which of a batch belongs to which."""

import jax
import jax.numpy as jnp


def info_nce(scores: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean cross-entropy of rows' own columns among all (arXiv 1807.03748, eq. 4); zero where nothing counts.

    Args:
      scores: [B B], of each row for each column.
      counts: bool [B], which are compared.
    """
    said = jax.nn.log_softmax(jnp.where(counts[None], scores, -1e9), -1)
    return -jnp.sum(jnp.where(counts, jnp.diagonal(said), 0.0)) / jnp.maximum(counts.sum(), 1)
