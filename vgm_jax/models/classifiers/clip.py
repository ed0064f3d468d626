"""A classifier of clips: a network looks at each frame alone, a light one at what it says over time."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.layers import MLP, Conv, Dense, leaky_relu, space_to_depth

Array = jax.Array
REACH = 1.6


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

    With a track, heads of frames also see the object from near: a window that follows the track's guess (a
    spatial transformer, arXiv 1506.02025, which the track alone learns to place), where a shape is as large
    and as central in one frame as in another.

    Frames are resized on the device, and whole clips are judged by `moments` frames evenly spread over them,
    so that any size and length will do. The cost is in the frames; time is a small MLP.
    """

    classes: Sequence[int]  # of each head
    frame_heads: int = 0  # so many heads, the first ones, judge every frame; the others whole clips
    track: bool = False
    side: int = 32  # pixels that frames are resized to, antialiased
    moments: int = 8
    entry: int = 32  # channels at half the resolution
    widths: Sequence[int] = (64, 96)  # at a quarter of the resolution, then at half of that, ...
    near_widths: Sequence[int] = (64, 128)  # the same of the window that follows the object
    window: int = 16  # its pixels; it is `REACH` radii wide to each side
    frame_features: int = 96
    glance: int = 24  # numbers of a frame that the clip's heads see
    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, times: Array) -> Judgement:
        """frames [B T H W 3] in [-1, 1], times [B T] seconds, ascending -> Judgement."""
        b, t = frames.shape[:2]
        images = self.resize(frames.reshape(b * t, *frames.shape[2:]))
        features = self.look(images, self.entry, self.widths, "far").reshape(b, t, -1)
        track, seen = None, []
        if self.track:
            track = Dense(3, 0.1, bias_init=nn.initializers.constant(0.5), name="track")(features)
            near = follow(images, jax.lax.stop_gradient(track.reshape(b * t, 3)), self.window)
            near = self.look(near, self.near_widths[0], self.near_widths, "near").reshape(b, t, -1)
            features = jnp.concatenate([features, near], -1)
            seen = [4.0 * track - 2.0]
        seen.append(Dense(self.glance, name="glance")(features))
        logits = [
            Dense(n, 0.3, name=f"head{i}")(features) for i, n in enumerate(self.classes[: self.frame_heads])
        ]
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

    def resize(self, x: Array) -> Array:
        """Images [N H W C] -> [N side side C]."""
        n, h, w, c = x.shape
        if (h, w) == (self.side, self.side):
            return x
        return jax.image.resize(x, (n, self.side, self.side, c), "linear", antialias=True)

    def look(self, x: Array, entry: int, widths: Sequence[int], name: str) -> Array:
        """Images [N H W 3] -> features [N frame_features]."""
        x = space_to_depth(x.astype(self.dtype), 2)
        x = leaky_relu(Conv(entry, dtype=self.dtype, name=f"{name}_entry")(x))
        for i, width in enumerate(widths):
            if i or name == "far":
                x = space_to_depth(x, 2)
            x = Conv(width, 1, dtype=self.dtype, name=f"{name}{i}")(x)
            x = leaky_relu(
                x + Conv(width, gain=0.7, dtype=self.dtype, name=f"{name}{i}_block")(leaky_relu(x))
            )
        x = x.reshape(len(x), -1).astype(jnp.float32)
        return leaky_relu(Dense(self.frame_features, name=f"{name}_features")(x))


def follow(images: Array, track: Array, side: int) -> Array:
    """Windows on objects: images [N H W C], track [N 3] in frame sides -> [N side side C], bilinear.

    A window is 2 `REACH` radii wide, the radius kept between a 20th and a half of the frame; what lies beyond
    the frame repeats its edge. As two products with matrices of weights, for XLA gathers slowly.
    """
    offsets = (jnp.arange(side) + 0.5) / side * 2 - 1
    places = track[:, :2, None] + REACH * jnp.clip(track[:, 2:, None], 0.05, 0.5) * offsets  # [N 2 side]
    x, y = (weights(places[:, i], images.shape[2 - i]) for i in range(2))
    return jnp.einsum("nih,nhwc,njw->nijc", y, images, x)


def weights(places: Array, size: int) -> Array:
    """[N side] in frame sides -> [N side size]: of each pixel, for linear interpolation at that place."""
    at = jnp.clip(places * size - 0.5, 0.0, size - 1.0)
    return jnp.maximum(1.0 - jnp.abs(at[..., None] - jnp.arange(size)), 0.0)
