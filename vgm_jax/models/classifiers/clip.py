"""A classifier of clips: a network looks at each frame alone, a light one at what it says over time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.layers import MLP, Conv, Dense, leaky_relu, space_to_depth

Array = jax.Array


class Judgement(NamedTuple):
    """What a classifier says of B clips of T frames.

    Attributes:
      logits: one array a head, [B T N] where it judges every frame, [B N] where it judges whole clips.
      track: float32 [B T 3], x, y and radius of the object in frame sides; None where it was not asked for.
      features: float32 [B F], what the heads of whole clips see, and the frames' mean.
    """

    logits: tuple[Array, ...]
    track: Array | None
    features: Array


class ClipClassifier(nn.Module):
    """Heads over frames and over clips, and where the object is.

    Frames are resized on the device, and whole clips are judged by `moments` frames evenly spread over them,
    so that any size and length will do. The cost is in the frames; time is a small MLP.
    """

    classes: Sequence[int]  # of each head
    frame_heads: int = 0  # so many heads, the first ones, judge every frame; the others whole clips
    track: bool = False
    side: int = 32  # pixels that frames are resized to, antialiased
    moments: int = 8
    entry: int = 32  # channels at half the resolution
    widths: Sequence[int] = (96, 128)  # at a quarter of the resolution, then at half of that, ...
    depths: Sequence[int] = (1, 1)  # residual convolutions there
    frame_features: int = 128
    glance: int = 24  # numbers of a frame that the clip's heads see
    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, times: Array) -> Judgement:
        """frames [B T H W 3] in [-1, 1], times [B T] seconds, ascending -> Judgement."""
        b, t = frames.shape[:2]
        features = self.look(frames.reshape(b * t, *frames.shape[2:])).reshape(b, t, -1)
        logits = [
            Dense(n, 0.3, name=f"head{i}")(features) for i, n in enumerate(self.classes[: self.frame_heads])
        ]
        seen, track = [Dense(self.glance, name="glance")(features)], None
        if self.track:
            track = Dense(3, 0.1, bias_init=nn.initializers.constant(0.5), name="track")(features)
            seen.append(4.0 * track - 2.0)
        seen, elapsed = jnp.concatenate(seen, -1), times - times[:, :1]
        if t != self.moments:
            chosen = np.linspace(0, t - 1, self.moments).round().astype(int)
            seen, elapsed = seen[:, chosen], elapsed[:, chosen]
        # Frames beside the rates at which they change, so that speed is a linear function of what comes in.
        gaps = jnp.diff(elapsed, axis=1)
        gaps = gaps / jnp.maximum(gaps.mean(1, keepdims=True), 1e-6)
        rates = 4.0 * jnp.diff(seen, axis=1) / jnp.maximum(gaps, 0.1)[..., None]
        x = jnp.concatenate([seen.reshape(b, -1), rates.reshape(b, -1), elapsed], -1)
        x = MLP((2 * self.hidden, self.hidden), name="clip")(x)
        for i, n in enumerate(self.classes[self.frame_heads :], self.frame_heads):
            logits.append(Dense(n, 0.3, name=f"head{i}")(x))
        return Judgement(tuple(logits), track, jnp.concatenate([features.mean(1), x], -1))

    def look(self, x: Array) -> Array:
        """Frames [N H W 3] -> features [N frame_features]."""
        n, h, w, c = x.shape
        if (h, w) != (self.side, self.side):
            x = jax.image.resize(x, (n, self.side, self.side, c), "linear", antialias=True)
        x = space_to_depth(x.astype(self.dtype), 2)
        x = leaky_relu(Conv(self.entry, dtype=self.dtype, name="entry")(x))
        for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = Conv(width, 1, dtype=self.dtype, name=f"level{i}")(space_to_depth(x, 2))
            for j in range(depth):
                x = x + Conv(width, gain=0.7, dtype=self.dtype, name=f"level{i}_{j}")(leaky_relu(x))
            x = leaky_relu(x)
        x = x.reshape(n, -1).astype(jnp.float32)
        return leaky_relu(Dense(self.frame_features, name="features")(x))
