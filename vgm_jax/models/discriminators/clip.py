"""The flagship discriminator: one look at a few frames of a clip and the time between them."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import Conv, Dense, leaky_relu, space_to_depth, time_features


class ClipDiscriminator(nn.Module):
    """Logit of k frames stacked as channels, given their time differences.

    Stacked frames make the cost that of one picture a clip, and let the first layer compare the same place at
    different times. Residual blocks without normalisation (R3GAN, arXiv 2501.05441); space-to-depth instead
    of strided convolution.
    """

    widths: Sequence[int] = (96, 192, 192)
    depths: Sequence[int] = (0, 1, 1)
    patch: int = 2
    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, times: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """frames [B K H W C] in [-1, 1], times [B K] seconds, ascending -> logits [B]."""
        del keys
        b, k, h, w, c = frames.shape
        x = frames.transpose(0, 2, 3, 1, 4).reshape(b, h, w, k * c).astype(self.dtype)
        elapsed = time_features(jnp.diff(times, axis=1), (0.25, 0.5, 1.0, 2.0, 4.0)).reshape(b, -1)
        for level, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = space_to_depth(x, self.patch if level == 0 else 2)
            x = Conv(width, 3 if level == 0 else 1, dtype=self.dtype, name=f"entry{level}")(x)
            if level == 0:
                condition = Dense(2 * width, gain=0.5, name="elapsed")(elapsed)[:, None, None, :]
                scale, shift = jnp.split(condition.astype(self.dtype), 2, -1)
                x = x * (1 + scale) + shift
            for i in range(depth):
                y = Conv(width, 3, dtype=self.dtype, name=f"block{level}_{i}_a")(leaky_relu(x))
                y = Conv(width, 3, gain=0.5, dtype=self.dtype, name=f"block{level}_{i}_b")(leaky_relu(y))
                x = x + y
            x = leaky_relu(x)
        x = x.reshape(b, -1).astype(jnp.float32)
        x = leaky_relu(Dense(self.hidden, name="hidden")(x))
        return Dense(1, name="logit")(x)[:, 0]
