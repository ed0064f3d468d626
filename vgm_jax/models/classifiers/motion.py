"""A classifier of how things move: neighbouring frames come in together."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.classifiers.clip import Judgement
from vgm_jax.models.layers import MLP, Conv, Dense, leaky_relu, space_to_depth

Array = jax.Array


class MotionClassifier(nn.Module):
    """Heads over whole clips, from what a network sees in windows of neighbouring frames.

    Speed and its change are seen where they are, pixel by pixel, as differences within a window; what goes on
    from window to window, by a small MLP. The first layer sees patches, so twice the resolution costs little.
    """

    classes: Sequence[int]  # of each head
    track: bool = False  # it knows no places: only False is valid
    side: int = 32  # pixels that frames are resized to, antialiased
    cells: int = 16  # patches a side
    moments: int = 16  # frames seen, evenly spread over a clip
    window: int = 4  # neighbouring frames that come in together
    stride: int = 3  # frames from a window to the next
    entry: int = 64  # channels of the patches
    widths: Sequence[int] = (96, 128)  # at half of the patches' resolution, at a quarter, ...
    depths: Sequence[int] = (1, 0)  # residual blocks there
    window_features: int = 48
    hidden: int = 96
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: Array, times: Array) -> Judgement:
        """frames [B T H W 3] in [-1, 1], at even times -> Judgement. `times` are not looked at.

        Raises ValueError where it is asked for a track, or the windows do not end with the last frame.
        """
        del times
        if (self.moments - self.window) % self.stride:
            raise ValueError(
                f"windows of {self.window} frames, every {self.stride}, leave out the last of {self.moments}"
            )
        if self.track:
            raise ValueError("the motion classifier gives no track; choose model.classifier.name='clip'")
        b, t, h, w, c = frames.shape
        if t != self.moments:
            frames = frames[:, np.linspace(0, t - 1, self.moments).round().astype(int)]
        if (h, w) != (self.side, self.side):
            small = (b, self.moments, self.side, self.side, c)
            frames = jax.image.resize(frames, small, "linear", antialias=True)
        x = jnp.concatenate([frames[:, :1], 2.0 * jnp.diff(frames, axis=1)], 1)
        starts = range(0, self.moments - self.window + 1, self.stride)
        # A window's first frame as it is, then its differences: [B windows window H W C].
        windows = [jnp.concatenate([frames[:, s : s + 1], x[:, s + 1 : s + self.window]], 1) for s in starts]
        x = jnp.stack(windows, 1).transpose(0, 1, 3, 4, 2, 5)
        x = self.look(x.reshape(b * len(starts), self.side, self.side, -1)).reshape(b, len(starts), -1)
        each = leaky_relu(Dense(self.hidden, name="each")(x)).mean(1)
        together = MLP((self.hidden, self.hidden), name="together")(x.reshape(b, -1))
        features = jnp.concatenate([each, together], -1)
        logits = tuple(Dense(n, name=f"head{i}")(features) for i, n in enumerate(self.classes))
        return Judgement(logits, None, features)

    def look(self, x: Array) -> Array:
        """Windows [N H W window*C] -> [N window_features]."""
        x = space_to_depth(x.astype(self.dtype), self.side // self.cells)
        x = Conv(self.entry, 1, dtype=self.dtype, name="patches")(x)
        x = leaky_relu(Conv(self.entry, dtype=self.dtype, name="entry")(leaky_relu(x)))
        for i, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            x = Conv(width, 1, dtype=self.dtype, name=f"level{i}")(space_to_depth(x, 2))
            for j in range(depth):
                y = Conv(width, dtype=self.dtype, name=f"level{i}_block{j}_a")(leaky_relu(x))
                x = x + Conv(width, gain=0.5, dtype=self.dtype, name=f"level{i}_block{j}_b")(leaky_relu(y))
            x = leaky_relu(x)
        x = x.reshape(len(x), -1).astype(jnp.float32)
        return leaky_relu(Dense(self.window_features, name="features")(x))
