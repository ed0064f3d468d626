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

ABSENT = -16.0  # logit of an object where it is not


class ContinuousNoise(NamedTuple):
    """All the randomness of a clip.

    content float32 [B Z]; motion float32 [B K 2 M]: the codes on both sides of a time; category int32 [B 2]:
    of form and of look.
    """

    content: jax.Array
    motion: jax.Array
    category: jax.Array


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
        # A quarter of a turn to two turns between two codes, spread over the features.
        base = jnp.exp2(jnp.linspace(-2.0, 1.0, self.features))
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


def pixel_centres(size: int) -> jax.Array:
    """[size], in [-1, 1] from edge to edge."""
    return (jnp.arange(size) + 0.5) * (2.0 / size) - 1.0


def warp(canvas: jax.Array, affine: jax.Array, size: int) -> jax.Array:
    """Bilinear resampling, zero outside the canvas: spatial transformers (arXiv 1506.02025, eq. 1 and 5).

    canvas [N h w C]; affine [N 2 3] takes image coordinates (x, y, 1) to canvas coordinates, both with
    [-1, 1] from edge to edge -> [N size size C].
    """
    n, h, w, c = canvas.shape
    place = pixel_centres(size)
    grid = jnp.stack([jnp.tile(place, size), jnp.repeat(place, size), jnp.ones(size * size)], -1)
    at = jnp.broadcast_to(grid, (n, *grid.shape)) @ affine.swapaxes(1, 2)
    at = (at + 1.0) * (0.5 * jnp.asarray((w, h), at.dtype)) - 0.5
    low = jnp.floor(at)
    part = (at - low).astype(canvas.dtype)
    low = low.astype(jnp.int32)
    texels = canvas.reshape(n, h * w, c)
    out = jnp.zeros((n, size * size, c), canvas.dtype)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = low[..., 0] + dx, low[..., 1] + dy
        inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
        share = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
        index = jnp.clip(y, 0, h - 1) * w + jnp.clip(x, 0, w - 1)
        taken = jax.vmap(lambda rows, i: rows[i])(texels, index)
        out += (share * inside)[..., None] * taken
    return out.reshape(n, size, size, c)


def placement(values: jax.Array) -> jax.Array:
    """Five free numbers [N 5] to an affine map [N 2 3] from image to canvas: a shift, a turn and a scale.

    The canvas' centre stays in the picture, its side between 0.30 and 1.5 of the image's: what is out of
    sight, or a dot, has no gradient that would bring it back.
    """
    x, y, size, cosine, sine = jnp.split(values, 5, -1)
    cosine = 2.0 + cosine
    scale = 1.5 * jnp.exp(0.8 * jnp.tanh(size)) * jax.lax.rsqrt(cosine**2 + sine**2 + 1e-6)
    a, b = scale * cosine, scale * sine
    x, y = 0.85 * jnp.tanh(x), 0.85 * jnp.tanh(y)
    return jnp.concatenate([a, -b, b * y - a * x, b, a, -b * x - a * y], -1).reshape(-1, 2, 3)


def view(values: jax.Array, reach: float) -> jax.Array:
    """Three free numbers [N 3] to an affine map [N 2 3] from image to ground: a shift and a scale.

    The ground is 1 + reach times as wide as the picture at scale one, and what is seen lies within it.
    """
    x, y, size = jnp.split(values, 3, -1)
    scale = jnp.exp(0.2 * jnp.tanh(size) - 0.2) / (1 + reach)
    # Short of the edge, where a warp fades to nothing.
    x, y = 0.96 * (1 - scale) * jnp.tanh(x), 0.96 * (1 - scale) * jnp.tanh(y)
    zero = jnp.zeros_like(scale)
    return jnp.concatenate([scale, zero, x, zero, scale, y], -1).reshape(-1, 2, 3)


def outline(shape: jax.Array) -> jax.Array:
    """A canvas' free numbers [N S S] to logits of the object being there: a hill in the middle, reshaped.

    As their mean square is scaled to one, an object can neither vanish nor fill its canvas, whose outline
    would be its form then, and no logit grows until it stops learning.
    """
    shape = shape * jax.lax.rsqrt(jnp.mean(jnp.square(shape), (1, 2), keepdims=True) + 0.1)
    place = jnp.square(pixel_centres(shape.shape[-1]))
    return 8.0 + 6.0 * shape - 24.0 * (place[None, :] + place[:, None])


class Painter(nn.Module):
    """A code to the features of a picture, from 4 x 4 (for odd sizes: up to 7 x 7) up.

    Residual blocks without normalisation or modulation (R3GAN, arXiv 2501.05441).
    """

    size: int
    channel_base: int  # channels at a size: channel_base / size ...
    channel_max: int  # ... but at most this
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array) -> jax.Array:
        """code [N Z] -> [N size size channel_base / size]."""
        size = self.size
        while size % 2 == 0 and size > 7:
            size //= 2
        width = min(self.channel_max, self.channel_base // size)
        x = Dense(size * size * width, dtype=self.dtype, name="start")(code).reshape(-1, size, size, width)
        while True:
            h = Conv(width, 3, dtype=self.dtype, name=f"block{size}_a")(leaky_relu(x))
            h = Conv(width, 1, gain=0.5, dtype=self.dtype, name=f"block{size}_b")(leaky_relu(h))
            x = x + h
            if size == self.size:
                return x
            size *= 2
            width = min(self.channel_max, self.channel_base // size)
            x = enlarge(Conv(width, 1, use_bias=False, dtype=self.dtype, name=f"enter{size}")(x))


class ContinuousGenerator(nn.Module):
    """Frames at arbitrary times from one content code and a trajectory of motion codes.

    Objects move over a background (VGAN, arXiv 1609.02612, sec. 3.1; LR-GAN, arXiv 1703.01560): all are
    painted once a clip, from content alone; at each time, motion redraws each object a little, places, turns
    and scales it, and a camera looks at a part of the background. So form and colour persist by
    construction, a clip costs little more than a picture, and edges lie at sub-pixel accuracy. The
    objects' form depends on a category above all, the colours and the texture much on another, and the
    discriminator is to guess both (InfoGAN, arXiv 1606.03657): without that, all objects take the form and
    the colour that fare best at the moment.
    """

    resolution: int
    channels: int = 3
    content_dim: int = 64
    motion_dim: int = 32
    style_dim: int = 256
    spacing: float = 1.0  # seconds between two motion codes
    canvas: int = 0  # texels a side that the object is painted on; 0: 3/4 of the resolution
    front_base: int = 1152  # channels of the object's painter at S x S texels: front_base / S ...
    front_max: int = 192  # ... but at most this
    back_base: int = 512  # of the ground's, likewise
    back_max: int = 96
    features: int = 7  # of the object that are resampled beside its outline, for its texture
    texture: float = 0.05  # at most so much is added to the object's one colour, of a range of two
    scenery: float = 0.25  # and so much to the ground's
    redraw: float = 0.3  # how much an object changes in time, against what stays; 0: it is rigid
    objects: int = 1  # later ones before earlier ones
    camera: float = 0.0  # how far it moves over the ground, in halves of the picture's side; 0: not at all
    categories: Sequence[int] = (10, 10)  # so many of form and of look to draw from and guess; 0: none
    dtype: Any = jnp.float32

    def noise(self, keys: jax.Array, times: jax.Array) -> ContinuousNoise:
        """Noise of B clips at times [B K] in seconds: a function of each clip's key and the time alone."""
        content = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 0), (self.content_dim,)))(keys)
        index = jnp.floor(times / self.spacing).astype(jnp.int32)

        def code(key, i):
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1), i), (self.motion_dim,))

        window = index[..., None] + jnp.arange(2)
        motion = jax.vmap(lambda k, w: jax.vmap(jax.vmap(lambda i: code(k, i)))(w))(keys, window)
        count = jnp.maximum(1, jnp.asarray(self.categories))
        category = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 2), (2,), 0, count))(keys)
        return ContinuousNoise(content, motion, category)

    @nn.compact
    def __call__(self, noise: ContinuousNoise, times: jax.Array) -> jax.Array:
        """times [B K] seconds -> frames [B K H W C], nominally in [-1, 1]."""
        b, k = times.shape
        content = unit_variance(noise.content)
        forms, looks = self.categories
        look = 0.7 * self.content_dim**0.5 * jax.nn.one_hot(noise.category[:, 1], looks)
        style = MLP((self.style_dim, self.style_dim), name="content")(jnp.concatenate([look, content], -1))
        motion = MotionEncoder(self.style_dim // 2, self.spacing, name="motion")(noise.motion, times)
        joint = jnp.concatenate([jnp.broadcast_to(style[:, None], (b, k, style.shape[-1])), motion], -1)
        pose = MLP((self.style_dim, self.style_dim), name="pose")(joint.reshape(b * k, -1))

        frames = self.paint_ground(content, style, pose)
        form = self.content_dim**0.5 * jax.nn.one_hot(noise.category[:, 0], forms)
        form = jnp.concatenate([form, 0.3 * content if forms else content], -1)
        for i in range(self.objects):
            colour, mask = self.paint_object(form, style, pose, str(i) if i else "")
            frames = frames + mask * (colour - frames)
        return frames.reshape(b, k, *frames.shape[1:])

    def paint_object(
        self, form: jax.Array, style: jax.Array, pose: jax.Array, name: str
    ) -> tuple[jax.Array, jax.Array]:
        """form [B F], style [B S], pose [B*K P] -> colours [B*K H W C] and coverage [B*K H W 1]."""
        size, k = self.canvas or 3 * self.resolution // 4, len(pose) // len(form)
        canvas = Painter(size, self.front_base, self.front_max, self.dtype, name="front" + name)(form)
        if self.redraw:
            canvas = jnp.repeat(canvas, k, 0)
            redraw = ModulatedConv(canvas.shape[-1], self.redraw, dtype=self.dtype, name="redraw" + name)
            canvas = canvas + redraw(leaky_relu(canvas), pose)
        canvas = Conv(1 + self.features, 1, dtype=self.dtype, name="features" + name)(leaky_relu(canvas))
        # Beside the canvas, where a warp gives zero, the object is not.
        there = (outline(canvas[..., 0].astype(jnp.float32)) - ABSENT)[..., None]
        canvas = jnp.concatenate([there.astype(self.dtype), canvas[..., 1:]], -1)
        if not self.redraw:
            canvas = jnp.repeat(canvas, k, 0)
        place = placement(Dense(5, gain=0.7, name="place" + name)(pose))
        front = warp(canvas, place, self.resolution)
        mask = jax.nn.sigmoid(front[..., :1].astype(jnp.float32) + ABSENT)
        shade = ModulatedConv(self.features, dtype=self.dtype, name="shade" + name)
        texture = leaky_relu(shade(front[..., 1:], jnp.repeat(style, k, 0)))
        texture = Conv(self.channels, 1, gain=0.5, dtype=self.dtype, name="object" + name)(texture)
        colour = jnp.repeat(Dense(self.channels, name="colour" + name)(style), k, 0)[:, None, None]
        return self.texture * jnp.tanh(texture.astype(jnp.float32)) + colour, mask

    def paint_ground(self, content: jax.Array, style: jax.Array, pose: jax.Array) -> jax.Array:
        """content [B Z], style [B S], pose [B*K P] -> [B*K H W C]."""
        k = len(pose) // len(content)
        size = self.resolution // 2
        if self.camera:
            size = 2 * round(size * (1 + self.camera) / 2)  # as fine as it is without a camera
        back = Painter(size, self.back_base, self.back_max, self.dtype, name="back")(content)
        back = enlarge(Conv(self.channels, 1, gain=0.5, dtype=self.dtype, name="scene")(leaky_relu(back)))
        colour = Dense(self.channels, gain=0.5, name="ground")(style)[:, None, None]
        back = jnp.repeat(self.scenery * jnp.tanh(back.astype(jnp.float32)) + colour, k, 0)
        if self.camera:
            seen = view(Dense(3, gain=0.7, name="camera")(pose), self.camera)
            back = warp(back, seen, self.resolution)
        return back
