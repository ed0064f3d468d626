"""Layers that the networks share. Images are [N H W C]; weights are float32, arithmetic is `dtype`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

SQRT2 = 2.0**0.5
ALWAYS = -1e9  # the time of tokens that have none
SAME = 1e-4  # seconds within which two times are one
PERIODS = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)  # seconds, by which attention tells times apart


def space_to_depth(x: jax.Array, block: int) -> jax.Array:
    """[N H W C] -> [N H/block W/block block*block*C]. Raises ValueError where a side does not divide."""
    n, h, w, c = x.shape
    if h % block or w % block:
        raise ValueError(f"pictures of {h} x {w} cannot be laid out in blocks of {block} x {block}")
    x = x.reshape(n, h // block, block, w // block, block, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // block, w // block, block * block * c)


def depth_to_space(x: jax.Array, block: int) -> jax.Array:
    """[N H W block*block*C] -> [N H*block W*block C], `space_to_depth` undone."""
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, block, block, c // block**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * block, w * block, c // block**2)


def enlarge(x: jax.Array) -> jax.Array:
    """[N H W C] -> [N 2H 2W C], bilinear."""
    return _double(_double(x, 1), 2)


def _double(x: jax.Array, axis: int) -> jax.Array:
    n = x.shape[axis]
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(x, n - 1, n, axis=axis)
    before = jnp.concatenate([first, jax.lax.slice_in_dim(x, 0, n - 1, axis=axis)], axis)
    after = jnp.concatenate([jax.lax.slice_in_dim(x, 1, n, axis=axis), last], axis)
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
    return pairs.reshape(x.shape[:axis] + (2 * n,) + x.shape[axis + 1 :])


def leaky_relu(x: jax.Array) -> jax.Array:
    """LeakyReLU(0.2) times sqrt(2), which keeps the variance of a normal input near one."""
    return jax.nn.leaky_relu(x, 0.2) * jnp.asarray(SQRT2, x.dtype)


def fan_in_normal(gain: float = 1.0) -> nn.initializers.Initializer:
    """Normal weights with standard deviation gain / sqrt(fan in)."""
    return nn.initializers.variance_scaling(gain * gain, "fan_in", "normal")


class Dense(nn.Module):
    """Affine map of the last axis."""

    features: int
    gain: float = 1.0
    bias_init: Any = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Of nothing, such as the poses of no objects, there is no variance.
        some = self.gain and self.features and x.shape[-1]
        init = fan_in_normal(self.gain) if some else nn.initializers.zeros
        return nn.Dense(self.features, kernel_init=init, bias_init=self.bias_init, dtype=self.dtype)(x)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution at stride one with zero padding: x [N H W C], kernel [k k C F], k odd -> [N H W F].

    On CPU as one product of gathered windows with the kernel: 1.1 to 3 times as fast as XLA's convolution
    there, forward and backward (experiments/throughput).
    """
    if jax.default_backend() != "cpu":
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    _, h, w, c = x.shape
    k = kernel.shape[0]
    padded = jnp.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    windows = jnp.concatenate([padded[:, i : i + h, j : j + w] for i in range(k) for j in range(k)], -1)
    return windows @ kernel.reshape(k * k * c, -1)


class Conv(nn.Module):
    """Convolution with zero padding at stride one."""

    features: int
    kernel: int = 3
    gain: float = 1.0
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.zeros if self.gain == 0 else fan_in_normal(self.gain)
        kernel = self.param("kernel", init, (self.kernel, self.kernel, x.shape[-1], self.features))
        x = convolve(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)


class MLP(nn.Module):
    """Dense layers with LeakyReLU between them, and after the last one unless `final_linear`."""

    widths: Sequence[int]
    final_linear: bool = False
    final_gain: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, width in enumerate(self.widths):
            last = i == len(self.widths) - 1
            x = Dense(width, gain=self.final_gain if last else 1.0)(x)
            if not (self.final_linear and last):
                x = leaky_relu(x)
        return x


def unit_variance(x: jax.Array) -> jax.Array:
    """Scales the last axis to a mean square of one."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-8)


def time_features(t: jax.Array, periods: Sequence[float]) -> jax.Array:
    """Sine and cosine of a time in seconds at the given periods in seconds: [...] -> [... 2*len(periods)]."""
    angle = 2 * jnp.pi * t[..., None] / jnp.asarray(periods, jnp.float32)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


class Cache(NamedTuple):
    """What attention remembers: keys and values [B M H D], times [B M] seconds, valid bool [B M]."""

    keys: jax.Array
    values: jax.Array
    times: jax.Array
    valid: jax.Array


class Attention(nn.Module):
    """Self-attention of tokens that have times, and a MLP, each added to what came in (arXiv 1706.03762).

    Which token sees which, and how much the time between them matters, is told by times alone, so that any
    spacing will do and a stream may begin anywhere. `horizon` above 0: a token sees those of its own time and
    before, back to `horizon` seconds. Tokens at `ALWAYS` are seen at any time, and see only their like.
    """

    heads: int
    widen: int = 2  # of the MLP
    horizon: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, times: jax.Array, valid: jax.Array, past: Cache | None = None
    ) -> tuple[jax.Array, Cache]:
        """x [B N D], times [B N], valid bool [B N] -> [B N D], and the past with x, of the past's length.

        Times and validity, of the past too, may be [1 N], for all rows.
        """
        b, n, width = x.shape
        if width % self.heads:
            raise ValueError(f"a width of {width} does not divide into {self.heads} heads")
        x = x.astype(self.dtype)
        qkv = Dense(3 * width, dtype=self.dtype, name="qkv")(unit_variance(x))
        queries, keys, values = jnp.moveaxis(qkv.reshape(b, n, 3, self.heads, width // self.heads), 2, 0)
        new = Cache(keys, values, times, valid)
        seen = new
        if past is not None:
            seen = jax.tree.map(lambda a, b: jnp.concatenate([a, b.astype(a.dtype)], 1), past, new)
            length = past.times.shape[1]
            new = jax.tree.map(lambda a: a[:, a.shape[1] - length :], seen)
        gap = times[:, :, None] - seen.times[:, None]
        allowed = seen.valid[:, None]
        if self.horizon:
            allowed = allowed & (
                (gap > -SAME) & (gap < self.horizon - SAME) | (seen.times[:, None] == ALWAYS)
            )
        bias = Dense(self.heads, 0.5, name="gap")(time_features(jnp.clip(gap, -8.0, 8.0), PERIODS))
        logits = jnp.einsum("bnhd,bmhd->bhnm", queries, seen.keys) * (width / self.heads) ** -0.5
        logits = logits.astype(jnp.float32) + jnp.moveaxis(bias, -1, 1)
        weights = nn.softmax(jnp.where(allowed[:, None], logits, -1e9), -1).astype(self.dtype)
        found = jnp.einsum("bhnm,bmhd->bnhd", weights, seen.values).reshape(b, n, width)
        x = x + Dense(width, 0.5, dtype=self.dtype, name="out")(found)
        hidden = leaky_relu(Dense(self.widen * width, dtype=self.dtype, name="widen")(unit_variance(x)))
        return x + Dense(width, 0.5, dtype=self.dtype, name="narrow")(hidden), new
