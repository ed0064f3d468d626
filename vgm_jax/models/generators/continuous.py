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
    enlarge,
    leaky_relu,
    unit_variance,
)


class ContinuousNoise(NamedTuple):
    """All the randomness of a clip.

    content float32 [B Z]; motion float32 [B K 2 M]: the codes on both sides of a time.
    """

    content: jax.Array
    motion: jax.Array


IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


class MotionEncoder(nn.Module):
    """Continuous motion trajectory through random codes placed every `spacing` seconds.

    StyleGAN-V's acyclic positional encoding (arXiv 2112.14683, sec. 3.1): between two codes, waves whose
    amplitude, frequency and phase come from the codes; their values at both codes are subtracted along a line
    and a linear map of the codes is added, so that the trajectory is continuous, does not repeat, and is
    stationary in steps of `spacing`.
    """

    features: int
    spacing: float

    @nn.compact
    def __call__(self, motion: jax.Array, times: jax.Array) -> jax.Array:
        """motion [B K 2 M], times [B K] seconds -> [B K features]."""
        phase = (times / self.spacing - jnp.floor(times / self.spacing))[..., None]
        left, right = motion[..., 0, :], motion[..., 1, :]
        both = jnp.concatenate([left, right], -1)
        anchors = Dense(self.features, name="anchors")(motion)
        amplitude = Dense(self.features, name="amplitude")(both)
        # Half a turn to a few turns between two codes, spread over the features.
        base = jnp.exp2(jnp.linspace(-1.0, 2.0, self.features))
        turns = base * jnp.exp2(0.5 * jnp.tanh(Dense(self.features, name="frequency")(both)))
        offset = Dense(self.features, name="phase")(both)

        def wave(s):
            return jnp.sin(2 * jnp.pi * (turns * s + offset))

        def between(left, right):
            return left * (1 - phase) + right * phase

        anchor = between(anchors[..., 0, :], anchors[..., 1, :])
        acyclic = amplitude * (wave(phase) - between(wave(0.0), wave(1.0))) + anchor
        # The codes too only along a line: past a code its left neighbour is another one, and would jump.
        return jnp.concatenate([acyclic, between(left, right)], -1)


def parabola_wave(turns: jax.Array) -> jax.Array:
    """Close to sin(2 pi turns), within 0.06, and as smooth as a feature needs, with no transcendental."""
    u = turns - jnp.round(turns)
    return 8.0 * u - 16.0 * u * jnp.abs(u)


class CoordinateFrames(nn.Module):
    """Fourier features of image coordinates seen from moving frames of reference.

    The style places `frames` affine frames in the image; each frame contributes sines and cosines of its
    coordinates, so that what is drawn in a frame moves, turns and grows with it at sub-pixel accuracy. One
    frame is the image's own. It generalises the single learned transformation of StyleGAN3's input (arXiv
    2106.12423, app. F).
    """

    frequencies: int
    bandwidth: float  # cycles per image side

    @nn.compact
    def __call__(self, affine: jax.Array, size: int) -> jax.Array:
        """affine [N frames 2 3] -> [N size size channels]."""
        n = affine.shape[0]
        affine = jnp.concatenate([jnp.broadcast_to(jnp.asarray(IDENTITY), (n, 1, 2, 3)), affine], 1)
        f = affine.shape[1]

        def frequency_init(key, shape):
            direction, radius = jax.random.split(key)
            angle = jax.random.uniform(direction, shape[:-1], maxval=2 * jnp.pi)
            r = jax.random.uniform(radius, shape[:-1], minval=0.25, maxval=self.bandwidth) / 2
            return jnp.stack([r * jnp.cos(angle), r * jnp.sin(angle)], -1)

        frequency = self.param("frequency", frequency_init, (f, self.frequencies, 2))
        phase = self.param("phase", nn.initializers.uniform(1.0), (f, self.frequencies))
        # sin(2 pi (w . (A x + b) + p)) = sin(2 pi ((A^T w) . x + w . b + p)): two numbers
        # a channel, not two a pixel.
        w = frequency[..., 0, None] * affine[:, :, None, 0] + frequency[..., 1, None] * affine[:, :, None, 1]
        w = w.at[..., 2].add(phase).reshape(n, -1, 3)
        place = (jnp.arange(size) + 0.5) * (2.0 / size) - 1.0
        x, y = jnp.tile(place, size), jnp.repeat(place, size)
        grid = jnp.stack([x, y, jnp.ones_like(x)], -1)
        # As a matrix product, so that its gradient is one too: XLA is slow at sums over pixels.
        turns = jnp.broadcast_to(grid, (n, *grid.shape)) @ w.swapaxes(1, 2)
        # Waves as strong as they are long, like natural images, and none that the pixels could not show: or
        # frames shrink in training until their waves speckle. (StyleGAN3 fades its own likewise.)
        cycles = 2.0 * jnp.sqrt(jnp.sum(jnp.square(w[..., :2]), -1) + 1e-6)
        strength = jnp.clip(2.0 - cycles * (8.0 / size), 0.0, 1.0) / jnp.maximum(cycles, 0.5)
        waves = strength[:, None] * parabola_wave(turns)
        return waves.reshape(n, size, size, -1)


class Exit(nn.Module):
    """Features to pixels: the little arithmetic at full resolution that places edges between coarse pixels.

    The features, enlarged, bend a few waves of the moving frames' coordinates. (Sub-pixels that leave
    together through depth-to-space know nothing of each other's place, and stripe.)
    """

    channels: int
    patch: int
    hidden: int
    frequencies: int
    bandwidth: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, affine: jax.Array, style: jax.Array) -> jax.Array:
        """x [N H W C], affine [N frames 2 3], style [N S] -> float32 [N H*patch W*patch channels]."""
        size = x.shape[1] * self.patch
        h = Conv(self.hidden, 1, dtype=self.dtype, name="entry")(x)
        while h.shape[1] < size:
            h = enlarge(h)
        waves = CoordinateFrames(self.frequencies, self.bandwidth, name="waves")(affine, size)
        edges = ModulatedConv(self.hidden, 1, dtype=self.dtype, name="edges")(waves.astype(self.dtype), style)
        h = leaky_relu(h + edges)
        return Conv(self.channels, 1, gain=0.5, dtype=self.dtype, name="pixels")(h).astype(jnp.float32)


class ContinuousGenerator(nn.Module):
    """Frames at arbitrary times from one content code and a trajectory of motion codes.

    A masked foreground moves over a still background (VGAN, arXiv 1609.02612, sec. 3.1). Both are painted
    from waves in coordinate frames: the foreground's frames are placed, turned and scaled by content and
    motion, the background's one is the image's own, painted once a clip. Painting starts at a quarter of the
    output's resolution, where arithmetic is wide, with modulated residual blocks and no normalisation. The
    cost of a clip is that of its frames.
    """

    resolution: int
    channels: int = 3
    content_dim: int = 64
    motion_dim: int = 32
    style_dim: int = 288
    spacing: float = 1.0  # seconds between two motion codes
    frames: int = 3  # of reference, beside the image's own
    frequencies: int = 24  # waves a frame
    bandwidth: float = 2.5  # cycles of the finest, at first, per image side
    widths: Sequence[int] = (128, 64)
    depths: Sequence[int] = (2, 1)
    kernels: Sequence[int] = (3, 1)
    back_widths: Sequence[int] = (48, 32)
    back_depths: Sequence[int] = (1, 1)
    exit_widths: Sequence[int] = (32, 16)  # of the foreground, of the background
    exit_frequencies: int = 8
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
        # Content draws and motion moves: at first, motion acts on frames more than on the drawing.
        style = content.reshape(b * k, -1) + Dense(self.style_dim, gain=0.2, name="style")(pose)

        affine = Dense(self.frames * 6, gain=0.5, name="affine")(pose).reshape(-1, self.frames, 2, 3)
        affine = jnp.tanh(affine) * jnp.asarray((1.0, 1.0, 2.0)) + jnp.asarray(IDENTITY)
        x = self.paint(affine, style, self.widths, self.depths, self.kernels, "front")
        front = self.exit(self.channels + 1, self.exit_widths[0], "front")(x, affine, style)
        front = front.reshape(b, k, *front.shape[1:])
        scene = content[:, 0]
        still = jnp.broadcast_to(jnp.asarray(IDENTITY), (b, 1, 2, 3))
        x = self.paint(still, scene, self.back_widths, self.back_depths, (1,) * len(self.back_widths), "back")
        back = self.exit(self.channels, self.exit_widths[1], "back")(x, still, scene)
        colour = Dense(self.channels, name="colour")(scene)[:, None, None, None]
        mask = jax.nn.sigmoid(4.0 * front[..., -1:] - 1.0)
        return mask * (0.3 * front[..., :-1] + colour) + (1.0 - mask) * back[:, None]

    def exit(self, channels: int, hidden: int, name: str) -> Exit:
        """The way out of a stream of features."""
        return Exit(
            channels, self.patch, hidden, self.exit_frequencies, self.bandwidth, self.dtype, name=name
        )

    def paint(self, affine, style, widths, depths, kernels, name: str) -> jax.Array:
        """Affine frames [N frames 2 3] and styles [N S] -> features [N H/patch W/patch widths[-1]]."""
        size = self.resolution // (self.patch * 2 ** (len(widths) - 1))
        x = None
        for width, depth, kernel in zip(widths, depths, kernels, strict=True):
            waves = CoordinateFrames(self.frequencies, self.bandwidth, name=f"{name}{size}_waves")
            entry = Conv(width, 1, dtype=self.dtype, name=f"{name}{size}_entry")
            h = entry(waves(affine, size).astype(self.dtype))
            if x is not None:
                up = Conv(width, 1, dtype=self.dtype, name=f"{name}{size}_up")(x)
                h = (h + enlarge(up)) * 2**-0.5
            x = h
            for i in range(depth):
                block = f"{name}{size}_block{i}"
                h = ModulatedConv(width, kernel, dtype=self.dtype, name=f"{block}a")(x, style)
                h = ModulatedConv(width, 1, gain=0.5, dtype=self.dtype, name=f"{block}b")(
                    leaky_relu(h), style
                )
                x = x + h
            size *= 2
        return leaky_relu(x)
