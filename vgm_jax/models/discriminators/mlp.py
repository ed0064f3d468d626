"""The textbook discriminator: dense layers on the flattened clip."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLPDiscriminator(nn.Module):
    """Dense 1024-512-256-1 with LeakyReLU(0.2) and dropout after each hidden layer; it sees no times."""

    widths: Sequence[int] = (1024, 512, 256)
    dropout: float = 0.3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, times: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """frames [B K H W C], times unused, keys [B] for dropout or None -> logits [B]."""
        del times
        x = frames.reshape(frames.shape[0], -1)
        for i, width in enumerate(self.widths):
            x = jax.nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), 0.2)
            if keys is not None:
                keep = 1.0 - self.dropout
                layer_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
                mask = jax.vmap(jax.random.bernoulli, (0, None, None))(layer_keys, keep, (width,))
                x = jnp.where(mask, x / keep, 0.0)
        return nn.Dense(1)(x.astype(jnp.float32))[:, 0]
