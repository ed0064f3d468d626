"""The flagship generator: content and continuous-time motion codes to frames at arbitrary real times."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import (
    MLP,
    Conv,
    Dense,
    ModulatedConv,
    depth_to_space,
    leaky_relu,
    unit_variance,
)


class ContinuousNoise(NamedTuple):
    """All the randomness of a clip. content float32 [B Z]; motion float32 [B K 2 M]: the codes on both sides of a time."""

    content: jax.Array
    motion: jax.Array


class MotionEncoder(nn.Module):
    """Continuous motion trajectory through random codes placed every `spacing` seconds.

    StyleGAN-V's acyclic positional encoding (arXiv 2112.14683, sec. 3.1): between two codes, waves whose amplitude,
    frequency and phase come from the codes; their values at both codes are subtracted along a line and a linear map of
    the codes is added, so that the trajectory is continuous, does not repeat, and is stationary in steps of `spacing`.
    """

    features: int
    spacing: float

    @nn.compact
    def __call__(self, motion: jax.Array, times: jax.Array) -> jax.Array:
        """motion [B K 2 M], times [B K] seconds -> [B K features]."""
        phase = (times / self.spacing - jnp.floor(times / self.spacing))[..., None]
        left = motion[..., 0, :]
        both = jnp.concatenate([left, motion[..., 1, :]], -1)
        anchors = Dense(self.features, name="anchors")(motion)
        amplitude = Dense(self.features, name="amplitude")(both)
        # Half a turn to a few turns between two codes, spread over the features.
        base = jnp.exp2(jnp.linspace(-1.0, 2.0, self.features))
        turns = base * jnp.exp2(0.5 * jnp.tanh(Dense(self.features, name="frequency")(both)))
        offset = Dense(self.features, name="phase")(both)

        def wave(s):
            return jnp.sin(2 * jnp.pi * (turns * s + offset))

        line = wave(0.0) * (1 - phase) + wave(1.0) * phase
        anchor = anchors[..., 0, :] * (1 - phase) + anchors[..., 1, :] * phase
        return jnp.concatenate([amplitude * (wave(phase) - line) + anchor, left], -1)


class CoordinateFrames(nn.Module):
    """Fourier features of image coordinates seen from moving frames of reference.

    The style places `frames` affine frames in the image; each frame contributes sines and cosines of its coordinates,
    so that what is drawn in a frame moves, turns and grows with it at sub-pixel accuracy. One frame is the image's own.
    It generalises the single learned transformation of StyleGAN3's input (arXiv 2106.12423, app. F).
    """

    frames: int
    frequencies: int
    bandwidth: float  # cycles per image side

    @nn.compact
    def __call__(self, affine: jax.Array, resolution: int) -> jax.Array:
        """affine [N frames 2 3] -> [N resolution resolution channels]."""
        n = affine.shape[0]
        identity = jnp.broadcast_to(jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (n, 1, 2, 3))
        affine = jnp.concatenate([identity, affine], 1)
        f = self.frames + 1

        def frequency_init(key, shape):
            direction, radius = jax.random.split(key)
            angle = jax.random.uniform(direction, shape[:-1], maxval=2 * jnp.pi)
            r = jax.random.uniform(radius, shape[:-1], minval=0.25, maxval=self.bandwidth) / 2
            return jnp.stack([r * jnp.cos(angle), r * jnp.sin(angle)], -1)

        frequency = self.param("frequency", frequency_init, (f, self.frequencies, 2))
        phase = self.param("phase", nn.initializers.uniform(1.0), (f, self.frequencies))
        # sin(2 pi (w . (A x + b) + p)) = sin(2 pi ((A^T w) . x + w . b + p)): two numbers a channel, not two a pixel.
        w = jnp.einsum("fqi,nfij->nfqj", frequency, affine)
        gx, gy, shift = w[..., 0], w[..., 1], w[..., 2] + phase
        grid = (jnp.arange(resolution) + 0.5) * (2.0 / resolution) - 1.0
        channels = f * self.frequencies
        flat = (n, 1, 1, channels)
        angle = (
            grid[None, None, :, None] * gx.reshape(flat)
            + grid[None, :, None, None] * gy.reshape(flat)
            + shift.reshape(flat)
        )
        return jnp.sin(2 * jnp.pi * angle) * (2.0**0.5)


class ContinuousGenerator(nn.Module):
    """Frames at arbitrary times from one content code and a trajectory of motion codes.

    The picture is painted at a quarter and at half of the output's resolution, where arithmetic is wide, and leaves
    through depth-to-space. No normalisation; the cost of a clip is that of its frames.
    """

    resolution: int
    channels: int = 3
    content_dim: int = 64
    motion_dim: int = 32
    style_dim: int = 256
    spacing: float = 1.0
    frames: int = 3
    frequencies: int = 24
    widths: Sequence[int] = (256, 128, 64)
    depths: Sequence[int] = (1, 1, 1)
    kernels: Sequence[int] = (3, 3, 1)
    patch: int = 2
    dtype: Any = jnp.float32

    def noise(self, keys: jax.Array, times: jax.Array) -> ContinuousNoise:
        """Noise of B clips at times [B K] in seconds: a function of each clip's key and the time alone."""
        content = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 0), (self.content_dim,)))(keys)
        index = jnp.floor(times / self.spacing).astype(jnp.int32)

        def code(key, i):
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1), i), (self.motion_dim,))

        window = index[..., None] + jnp.arange(2)
        motion = jax.vmap(lambda k, w: jax.vmap(jax.vmap(lambda i: code(k, i)))(w))(keys, window)
        return ContinuousNoise(content, motion)

    @nn.compact
    def __call__(self, noise: ContinuousNoise, times: jax.Array) -> jax.Array:
        """times [B K] seconds -> frames [B K H W C], nominally in [-1, 1]."""
        b, k = times.shape
        content = MLP((self.style_dim, self.style_dim), name="content")(unit_variance(noise.content))
        motion = MotionEncoder(self.style_dim // 2, self.spacing, name="motion")(noise.motion, times)
        content = jnp.broadcast_to(content[:, None], (b, k, self.style_dim))
        joint = jnp.concatenate([content, motion], -1).reshape(b * k, -1)
        pose = MLP((self.style_dim, self.style_dim), name="pose")(joint)
        style = content.reshape(b * k, -1) + Dense(self.style_dim, name="style")(pose)

        affine = Dense(self.frames * 6, gain=0.3, name="affine")(pose).reshape(-1, self.frames, 2, 3)
        affine = affine + jnp.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        size = self.resolution // (self.patch * 2 ** (len(self.widths) - 1))
        x = None
        for level, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            coordinates = CoordinateFrames(
                self.frames, self.frequencies, bandwidth=size / 4, name=f"coordinates{size}"
            )
            entry = Conv(width, 1, dtype=self.dtype, name=f"entry{size}")
            h = entry(coordinates(affine, size).astype(self.dtype))
            if x is not None:
                x = depth_to_space(Conv(4 * width, 1, dtype=self.dtype, name=f"up{size}")(x), 2)
                h = (h + x) * 2**-0.5
            x = h
            for i in range(depth):
                name = f"block{size}_{i}"
                kernel = self.kernels[level]
                h = leaky_relu(ModulatedConv(width, kernel, dtype=self.dtype, name=f"{name}_a")(x, style))
                h = ModulatedConv(width, 1, gain=0.5, dtype=self.dtype, name=f"{name}_b")(h, style)
                x = x + h
            size *= 2
        x = leaky_relu(x)
        pixels = self.patch**2 * self.channels
        x = ModulatedConv(pixels, 1, gain=0.3, dtype=self.dtype, name="pixels")(x, style)
        x = depth_to_space(x.astype(jnp.float32), self.patch)
        return x.reshape(b, k, self.resolution, self.resolution, self.channels)
