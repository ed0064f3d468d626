"""The flagship discriminator: one look at a few frames of a clip and the time between them."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import SQRT2, Conv, Dense, leaky_relu, space_to_depth, time_features


class ClipDiscriminator(nn.Module):
    """Logit of k frames, given the time between them.

    One tower looks at each frame alone, its weights shared; at low resolution the frames' features come
    together, with their time differences (StyleGAN-V, arXiv 2112.14683, sec. 3.2). Residual blocks without
    normalisation (R3GAN, arXiv 2501.05441); space-to-depth instead of strided convolution.
    """

    frame_widths: Sequence[int] = (64, 96)  # channels at 1/patch of the resolution, then at half of that, ...
    frame_depths: Sequence[int] = (0, 1)  # residual blocks there
    widths: Sequence[int] = (256,)  # of the frames together, each level at half the resolution
    depths: Sequence[int] = (1,)
    patch: int = 2
    hidden: int = 128
    actions: int = 0  # that lead from a frame to the next, of which it is told; 0: it is not
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        frames: jax.Array,
        times: jax.Array,
        keys: jax.Array | None = None,
        action: jax.Array | None = None,
    ) -> jax.Array:
        """frames [B K H W C] in [-1, 1], times [B K] seconds, ascending -> logits [B].

        action: int32 [B K], what led to each frame, where `actions` are known; the first's is not looked at.
        """
        del keys
        b, k, h, w, c = frames.shape
        x = space_to_depth(frames.reshape(b * k, h, w, c).astype(self.dtype), self.patch)
        x = leaky_relu(Conv(self.frame_widths[0], 3, dtype=self.dtype, name="entry")(x))
        x = self.level(x, self.frame_depths[0], "frame0")
        for i, (width, depth) in enumerate(zip(self.frame_widths[1:], self.frame_depths[1:], strict=True), 1):
            x = Conv(width, 1, dtype=self.dtype, name=f"frame{i}_entry")(space_to_depth(x, 2))
            x = leaky_relu(self.level(x, depth, f"frame{i}"))
        # [B K h w c] -> [B h w K*c]
        x = x.reshape(b, k, *x.shape[1:]).transpose(0, 2, 3, 1, 4)
        x = x.reshape(*x.shape[:3], -1)
        elapsed = time_features(jnp.diff(times, axis=1), (0.25, 0.5, 1.0, 2.0, 4.0)).reshape(b, -1)
        if self.actions:
            done = jax.nn.one_hot(action[:, 1:], self.actions).reshape(b, -1)
            elapsed = jnp.concatenate([elapsed, SQRT2 * done], -1)
        for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = Conv(width, 1, dtype=self.dtype, name=f"clip{i}_entry")(space_to_depth(x, 2))
            if i == 0:
                condition = Dense(2 * width, gain=0.5, name="elapsed")(elapsed)[:, None, None, :]
                scale, shift = jnp.split(condition.astype(self.dtype), 2, -1)
                x = x * (1 + scale) + shift
            x = leaky_relu(self.level(x, depth, f"clip{i}"))
        x = x.reshape(b, -1).astype(jnp.float32)
        x = leaky_relu(Dense(self.hidden, name="hidden")(x))
        return Dense(1, name="logits")(x)[:, 0]

    def level(self, x: jax.Array, depth: int, name: str) -> jax.Array:
        """Residual blocks at one resolution and width."""
        width = x.shape[-1]
        for i in range(depth):
            y = Conv(width, 3, dtype=self.dtype, name=f"{name}_block{i}_a")(leaky_relu(x))
            y = Conv(width, 3, gain=0.5, dtype=self.dtype, name=f"{name}_block{i}_b")(leaky_relu(y))
            x = x + y
        return x
