"""Importance of every moment of a film, from vectors of the moments."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import Attention, Dense, leaky_relu, unit_variance
from vgm_jax.types import Array


def contrast(features: Array, valid: Array) -> Array:
    """Vectors [B N D], and how each differs from the film's mean: [B N 2D]. What is rare stands out."""
    x = unit_variance(features.astype(jnp.float32)) * valid[..., None]
    mean = x.sum(1, keepdims=True) / jnp.maximum(valid.sum(1), 1)[:, None, None]
    return jnp.concatenate([x, x - mean], -1)


class Scorer(nn.Module):
    """Attention over a film's moments (as VASNet, arXiv 1812.01969), of any number and length."""

    width: int = 96
    layers: int = 2
    heads: int = 4
    dropout: float = 0.3  # part of the vectors' numbers that training keeps from it, the same in a whole film
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array, times: Array, valid: Array, keys: Array | None = None) -> Array:
        """features [B N D], times [B N] seconds, valid bool [B N] -> logits float32 [B N].

        A logit depends on no moment that is not valid; where one is not, it means nothing. `keys` [B] seed
        each film's dropout; without them there is none.
        """
        if keys is not None and self.dropout:
            kept = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.dropout, features.shape[-1:]))(keys)
            features = features * kept[:, None] / (1 - self.dropout)
        x = leaky_relu(Dense(self.width, dtype=self.dtype, name="entry")(contrast(features, valid)))
        for i in range(self.layers):
            x, _ = Attention(self.heads, dtype=self.dtype, name=f"layer{i}")(x, times, valid)
        return Dense(1, 0.3, name="logits")(unit_variance(x.astype(jnp.float32)))[..., 0]
