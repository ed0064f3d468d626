"""EfficientNet-lite0 on ImageNet: features of single frames, which see texture and things.

Tan and Le, arXiv 1905.11946; the lite variants have no squeeze-and-excitation and use ReLU6. The weights are
converted by experiments/pretrained_weights.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.pretrained.chunks import in_chunks
from vgm_jax.models.pretrained.network import FeatureNetwork, shipped_weights
from vgm_jax.types import Array, Params

SIZE = 112  # pixels a side: half of what it was trained at, for a quarter of the cost
EVERY = 4  # frames
CHUNK = 4  # clips
FEATURES = 1280
# how many blocks, side of the kernel, stride of the first, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def depthwise(x: Array, kernel: Array, stride: int) -> Array:
    """Each channel's own convolution, SAME padding: x [N H W C], kernel [k k C] -> [N H/s W/s C]."""
    if jax.default_backend() != "cpu":
        return depthwise_by_convolution(x, kernel, stride)
    return depthwise_by_shifts(x, kernel, stride)


def depthwise_by_convolution(x: Array, kernel: Array, stride: int) -> Array:
    """`depthwise` as the grouped convolution that accelerators have kernels for."""
    numbers, c = ("NHWC", "HWIO", "NHWC"), x.shape[-1]
    kernel = kernel[:, :, None]
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=numbers, feature_group_count=c
    )


def depthwise_by_shifts(x: Array, kernel: Array, stride: int) -> Array:
    """`depthwise` as a sum of shifted and scaled images, one loop that XLA's CPU compiler vectorises."""
    n, h, w, c = x.shape
    k = len(kernel)
    out = (-(-h // stride), -(-w // stride))
    pads = [max((o - 1) * stride + k - size, 0) for o, size in zip(out, (h, w), strict=True)]
    x = jnp.pad(x, ((0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)))
    ends = [(o - 1) * stride + 1 for o in out]
    total = 0.0
    for i in range(k):
        for j in range(k):
            part = jax.lax.slice(x, (0, i, j, 0), (n, i + ends[0], j + ends[1], c), (1, stride, stride, 1))
            total = total + part * kernel[i, j]
    return total


class Block(nn.Module):
    """Inverted bottleneck (MBConv): wider, depthwise convolution, narrower, a shortcut where shapes allow."""

    features: int
    kernel: int
    stride: int
    expansion: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[N H W C] -> [N ceil(H/stride) ceil(W/stride) features]."""
        wide, shortcut = self.expansion * x.shape[-1], x
        if self.expansion > 1:
            x = nn.relu6(nn.Dense(wide, name="expand")(x))
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.kernel, self.kernel, wide))
        bias = self.param("bias", nn.initializers.zeros, (wide,))
        x = nn.relu6(depthwise(x, kernel, self.stride) + bias)
        x = nn.Dense(self.features, name="project")(x)
        return x + shortcut if x.shape == shortcut.shape else x


class EfficientNet(nn.Module):
    """The lite0 network to its pooled features. Batch normalisation is in the weights."""

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """[N H W 3] in 0..255 -> [N 1280]."""
        x = (images - 127) / 128
        x = nn.relu6(nn.Conv(32, (3, 3), (2, 2), name="stem")(x))
        i = 0
        for repeats, kernel, stride, expansion, features in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                x = Block(features, kernel, step, expansion, name=f"block{i}")(x)
                i += 1
        return nn.relu6(nn.Dense(FEATURES, name="head")(x)).mean((1, 2))


def embed(params: Params, frames: Array) -> Array:
    """[B T H W 3] in [-1, 1] -> float32 [B R 1280]: a row for each of the ceil(T/4) frames 0, 4, 8, ..."""

    def rows(frames: Array) -> Array:
        b, r, _, _, c = frames.shape
        images = jax.image.resize(frames, (b, r, SIZE, SIZE, c), "bilinear", antialias=True)
        images = ((images + 1) * 127.5).reshape(b * r, SIZE, SIZE, c)
        return EfficientNet().apply({"params": params}, images).reshape(b, r, -1)

    return in_chunks(rows, frames[:, ::EVERY], CHUNK)


def load() -> FeatureNetwork:
    """The network with its shipped weights."""
    params, weights = shipped_weights("efficientnet.safetensors")
    settings = {
        "resize": f"{SIZE}x{SIZE}, bilinear, antialiased",
        "frames": f"every {EVERY}th, each a row",
        "layer": "mean of the head over space",
    }
    return FeatureNetwork("efficientnet", embed, params, weights, 1, settings)
