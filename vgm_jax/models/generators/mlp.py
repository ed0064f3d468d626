"""The textbook generator: dense layers from one noise vector to a whole clip of fixed length."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class MLPGenerator(nn.Module):
    """Dense 100-256-512-1024-1024-clip with LeakyReLU(0.2) and tanh.

    It knows no time: `clip_frames` frames, always.
    """

    resolution: int
    clip_frames: int
    clip_fps: float
    channels: int = 3
    noise_dim: int = 100
    widths: Sequence[int] = (256, 512, 1024, 1024)
    dtype: Any = jnp.float32

    def noise(self, keys: jax.Array, times: jax.Array, since: jax.Array | int = 0) -> jax.Array:
        """[B noise_dim], standard normal, from each clip's key alone."""
        del times, since
        return jax.vmap(lambda k: jax.random.normal(k, (self.noise_dim,)))(keys)

    @nn.compact
    def __call__(self, noise: jax.Array, times: jax.Array) -> jax.Array:
        """noise [B noise_dim], times [B K] -> frames [B K H W C] in [-1, 1], each time's nearest one."""
        x = noise
        for width in self.widths:
            x = jax.nn.leaky_relu(nn.Dense(width, dtype=self.dtype)(x), 0.2)
        shape = (self.clip_frames, self.resolution, self.resolution, self.channels)
        pixels = nn.Dense(math.prod(shape), dtype=self.dtype)(x).astype(jnp.float32)
        clip = jnp.tanh(pixels).reshape(-1, *shape)
        index = jnp.clip(jnp.round(times * self.clip_fps).astype(jnp.int32), 0, self.clip_frames - 1)
        return jnp.take_along_axis(clip, index[:, :, None, None, None], 1)
