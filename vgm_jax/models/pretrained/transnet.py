"""TransNet V2: a network trained to find cuts, whose layers see time; features of clips, and logits of cuts.

Soucek and Lokoc, arXiv 2008.04838. The weights are converted by experiments/pretrained_weights.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.pretrained.chunks import in_chunks
from vgm_jax.models.pretrained.network import FeatureNetwork, shipped_weights
from vgm_jax.types import Array, Params

SIZE = (27, 48)  # height and width that it was trained at
DILATIONS = (1, 2, 4, 8)  # frames
CHUNK = 2  # clips
WINDOW = 101  # frames that a frame is compared with, itself in the middle


class DilatedConv(nn.Module):
    """Four (2+1)-D convolutions side by side, each looking further in time (a DDCNN V2 cell).

    The spatial halves see the same pixels, so they are one 2-D convolution of frames. The temporal halves are
    products of pixels with matrices, shifted in time and added: XLA's 3-D convolution runs at a sixth of the
    speed of its 2-D one on CPU. Batch normalisation is in the temporal weights.
    """

    filters: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B T H W C] -> [B T H W 4*filters]."""
        b, t, h, w, c = x.shape
        branches, wide, narrow = len(DILATIONS), 2 * self.filters, self.filters
        init = nn.initializers.lecun_normal()
        spatial = self.param("spatial", init, (3, 3, c, branches * wide))
        temporal = self.param("temporal", init, (branches, 3, wide, narrow))  # earlier, same and later frame
        bias = self.param("bias", nn.initializers.zeros, (branches * narrow,))
        numbers = ("NHWC", "HWIO", "NHWC")
        x = x.reshape(b * t, h, w, c)
        x = jax.lax.conv_general_dilated(x, spatial, (1, 1), "SAME", dimension_numbers=numbers)
        parts = jnp.split(x.reshape(b, t, h * w, branches * wide), branches, axis=-1)
        parts = [_over_time(*each) for each in zip(parts, temporal, DILATIONS, strict=True)]
        return (jnp.concatenate(parts, -1) + bias).reshape(b, t, h, w, -1)


def _over_time(x: Array, kernel: Array, dilation: int) -> Array:
    """x [B T P C], kernel [3 C F] -> [B T P F], zeros before the first frame and after the last."""
    step = min(dilation, x.shape[1])
    padding = ((0, 0), (step, step), (0, 0), (0, 0))
    before = jnp.pad(x @ kernel[0], padding)[:, : -2 * step]
    after = jnp.pad(x @ kernel[2], padding)[:, 2 * step :]
    return before + x @ kernel[1] + after


class Stack(nn.Module):
    """Two dilated convolutions with a shortcut round the second, and averages of 2x2 pixels (SDDCNN)."""

    filters: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B T H W C] -> [B T H//2 W//2 4*filters]."""
        first = nn.relu(DilatedConv(self.filters, name="first")(x))
        x = nn.relu(DilatedConv(self.filters, name="second")(first)) + first
        return nn.avg_pool(x, (1, 2, 2), (1, 2, 2))


def _compare(x: Array) -> Array:
    """Cosine of the angle to each neighbour in time: [B T F] -> [B T WINDOW], 0 where there is no frame."""
    x = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    t, half = x.shape[1], WINDOW // 2
    similarity = jnp.pad(x @ x.mT, ((0, 0), (0, 0), (half, half)))
    neighbours = jnp.arange(t)[:, None] + jnp.arange(WINDOW)
    return similarity[:, jnp.arange(t)[:, None], neighbours]


def _colours(frames: Array) -> Array:
    """Histograms of 8x8x8 colours: frames [B T H W 3] in 0..255 -> counts [B T 512]."""
    b, t = frames.shape[:2]
    levels = jnp.clip(frames, 0, 255).astype(jnp.int32) // 32
    bins = (levels @ jnp.array([64, 8, 1])).reshape(b * t, -1)
    counts = jnp.zeros((b * t, 512)).at[jnp.arange(b * t)[:, None], bins].add(1)
    return counts.reshape(b, t, 512)


class TransNet(nn.Module):
    """The whole network. Frames are [B T 27 48 3] in 0..255; for the logits whole numbers, as in training."""

    filters: Sequence[int] = (16, 32, 64)
    hidden: int = 1024

    def setup(self):
        self.stacks = [Stack(f) for f in self.filters]
        self.projection = nn.Dense(128)  # of the frames that are compared
        self.similarity = nn.Dense(128)
        self.histogram = nn.Dense(128)
        self.fc1 = nn.Dense(self.hidden)
        self.cut = nn.Dense(1)
        self.transition = nn.Dense(1)

    def features(self, frames: Array) -> list[Array]:
        """Each stack's output; the last [B T 3 6 256]."""
        x, outputs = frames / 255, []
        for stack in self.stacks:
            x = stack(x)
            outputs.append(x)
        return outputs

    def __call__(self, frames: Array) -> tuple[Array, Array]:
        """Logits [B T] that a frame is the middle of a transition, and [B T] that it is any frame of one."""
        outputs = self.features(frames)
        means = jnp.concatenate([x.mean((2, 3)) for x in outputs], -1)
        similarity = nn.relu(self.similarity(_compare(self.projection(means))))
        histogram = nn.relu(self.histogram(_compare(_colours(frames))))
        pixels = outputs[-1].reshape(*frames.shape[:2], -1)
        x = nn.relu(self.fc1(jnp.concatenate([histogram, similarity, pixels], -1)))
        return self.cut(x)[..., 0], self.transition(x)[..., 0]


def embed(params: Params, frames: Array) -> Array:
    """[B T H W 3] in [-1, 1] -> float32 [B 1 256]: the third stack's output, averaged over time and space."""

    def rows(frames: Array) -> Array:
        b, t, _, _, c = frames.shape
        frames = jax.image.resize(frames, (b, t, *SIZE, c), "bilinear", antialias=True)
        outputs = TransNet().apply({"params": params}, (frames + 1) * 127.5, method="features")
        return outputs[-1].mean((1, 2, 3))[:, None]

    return in_chunks(rows, frames, CHUNK)


def load() -> FeatureNetwork:
    """The network with its shipped weights. A single frame has no motion to see, hence `min_frames`."""
    params, weights = shipped_weights("transnet.safetensors")
    settings = {
        "resize": f"{SIZE[0]}x{SIZE[1]}, bilinear, antialiased",
        "frames": "all, together",
        "layer": "mean of the third stack over time and space",
    }
    return FeatureNetwork("transnet", embed, params, weights, 2, settings)
