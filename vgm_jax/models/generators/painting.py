"""Codes to frames."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import Conv, Dense, depth_to_space, enlarge, leaky_relu
from vgm_jax.models.scene import (
    POSE,
    Codes,
    ground_side,
    pixel_centres,
    placement,
    straight,
    view_of,
    warp,
)

ABSENT = -8.0  # logit of an object where it is not
SHARP = 3.0  # logits of coverage to one of colour, so that outlines are learned as fast
FAST = 4.0  # colour of a plain ground to a parameter of 1, so that it is found within some hundred updates


class Painter(nn.Module):
    """A code to the features of a picture, from 4 x 4 up; of a size with an odd factor, from that.

    Residual blocks without normalisation or modulation (R3GAN, arXiv 2501.05441).
    """

    size: int
    channel_base: int  # channels at a size: channel_base / size ...
    channel_max: int  # ... but at most this
    dtype: Any = jnp.float32
    apart: bool = False  # whether the four texels of one are told apart at once; else they begin alike

    @nn.compact
    def __call__(self, code: jax.Array) -> jax.Array:
        """code [N Z], or laid out in cells [N g g Z], size being g times a power of two
        -> [N size size channel_base / size].
        """
        size, cells = self.size, code.shape[1] if code.ndim == 4 else 0
        while size % 2 == 0 and size > (cells or 7):
            size //= 2
        width = min(self.channel_max, self.channel_base // size)
        if cells not in (0, size):
            raise ValueError(
                f"{self.size} texels a side are not {cells} cells, doubled some times: choose a grid"
            )
        if cells:
            x = Conv(width, 3, dtype=self.dtype, name="start")(code)
        else:
            x = Dense(size * size * width, dtype=self.dtype, name="start")(code)
            x = x.reshape(-1, size, size, width)
        while True:
            h = Conv(width, 3, dtype=self.dtype, name=f"block{size}_a")(leaky_relu(x))
            h = Conv(width, 1, gain=0.5, dtype=self.dtype, name=f"block{size}_b")(leaky_relu(h))
            x = x + h
            if size == self.size:
                return x
            size *= 2
            width = min(self.channel_max, self.channel_base // size)
            texels = 4 if self.apart else 1
            x = Conv(texels * width, 1, use_bias=False, dtype=self.dtype, name=f"enter{size}")(x)
            x = depth_to_space(x, 2) if self.apart else enlarge(x)


class Still(NamedTuple):
    """What of B clips is painted once, however they move.

    style [B ... S]: what is told of each; ground [B h w C], None where it is plain; fronts [B O s s C+1]:
    objects' colours and coverage, None where there are none.
    """

    style: jax.Array
    ground: jax.Array | None
    fronts: jax.Array | None


class Painting(nn.Module):
    """Codes to frames: objects over a ground, all painted once a clip, then placed at each time.

    The ground may be laid out in cells, so that each of them is painted by what is told of it; free numbers
    paint over it at each time, and may bend it by a field of shifts. Or it is plain: one colour for
    all clips, black at first.
    """

    resolution: int
    channels: int
    grey: bool
    canvas: int
    front_base: int
    front_max: int
    back_base: int
    back_max: int
    free_base: int
    objects: int
    camera: float
    free: int
    bend: float
    grid: int
    width: int
    dtype: Any

    @property
    def shades(self) -> int:
        """Numbers that are painted a pixel."""
        return 1 if self.grey else self.channels

    @nn.compact
    def __call__(self, codes: Codes, still: Still | None = None, shown: bool = True) -> jax.Array | Still:
        """[B K H W C], nominally in [-1, 1], of what was painted once, if it is given. Not `shown`: that."""
        still = self.still(codes) if still is None else still
        return self.show(still, codes.motion) if shown else still

    def still(self, codes: Codes) -> Still:
        """Of content and form. Raises ValueError for settings that do not go together."""
        if self.bend and not self.free:
            raise ValueError(f"bend={self.bend} is by free numbers, of which there are none: set free")
        if not self.back_base and (self.camera or self.bend or self.grid):
            raise ValueError(
                f"camera={self.camera}, bend={self.bend} and grid={self.grid} are of a ground with something "
                "on it: set back_base"
            )
        if self.resolution % 2 and (self.free or self.back_base and not self.camera):
            raise ValueError(f"frames of {self.resolution} pixels a side: a ground is painted for even sizes")
        if self.camera < 0:
            raise ValueError(f"camera={self.camera} must not be negative: the ground is as wide as a picture")
        if self.grid:
            style = codes.content.reshape(len(codes.content), self.grid, self.grid, -1)
        elif self.back_base or self.free:
            style = leaky_relu(Dense(self.width, name="style")(codes.content))
        else:
            style = codes.content
        ground = self.back(style) if self.back_base else None
        return Still(style, ground, self.canvases(codes.form) if self.objects else None)

    def show(self, still: Still, motion: jax.Array) -> jax.Array:
        """motion [B K M] -> [B K H W C]."""
        b, k, _ = motion.shape
        motion = motion.reshape(b * k, -1)
        change, shift = self.change(still.style, motion) if self.free else (0.0, None)
        frames = self.ground(still.ground, motion, shift)
        if self.objects:
            colours, masks = self.fronts(still.fronts, motion[:, : POSE * self.objects])
            for i in range(self.objects):
                frames = frames + masks[:, i] * (colours[:, i] - frames)
        frames = jnp.broadcast_to(frames + change, (*frames.shape[:-1], self.channels))
        return frames.reshape(b, k, *frames.shape[1:])

    def canvases(self, form: jax.Array) -> jax.Array:
        """Forms [B O F] -> [B O s s C+1]; all objects are painted by the same layers."""
        size, (b, objects, _) = self.canvas or 3 * self.resolution // 4, form.shape
        form = form.reshape(b * objects, -1)
        canvas = Painter(size, self.front_base, self.front_max, self.dtype, name="front")(form)
        canvas = Conv(self.shades + 1, 1, gain=0.3, dtype=self.dtype, name="colour")(leaky_relu(canvas))
        # At first a disc in the middle. Beside the canvas, where a warp gives zero, the object is not.
        place = jnp.square(pixel_centres(size))
        there = SHARP * canvas[..., -1:] + (3.0 - 8.0 * (place[:, None] + place))[..., None] - ABSENT
        return jnp.concatenate([canvas[..., :-1], there], -1).reshape(b, objects, size, size, -1)

    def fronts(self, canvases: jax.Array, poses: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B O s s C+1], poses [B*K POSE*O] -> colours [B*K O H W C] and coverage [B*K O H W 1]."""
        b, objects, size, _, _ = canvases.shape
        canvas = jnp.repeat(canvases, len(poses) // b, 0).reshape(-1, size, size, self.shades + 1)
        front = warp(canvas, placement(poses.reshape(-1, POSE)), self.resolution).astype(jnp.float32)
        front = front.reshape(-1, objects, *front.shape[1:])
        return front[..., :-1], jax.nn.sigmoid(front[..., -1:] + ABSENT)

    def back(self, style: jax.Array) -> jax.Array:
        """style [B ... S] -> [B h w C], all of the ground."""
        size = ground_side(self.resolution, self.camera) // 2
        # Of what is read off a picture as fine as it, all is told: nothing need be smooth by itself.
        apart = bool(self.grid and self.camera)
        back = Painter(size, self.back_base, self.back_max, self.dtype, apart, name="back")(style)
        if self.grid:
            back = Conv(4 * self.shades, 3, gain=0.5, dtype=self.dtype, name="scene")(leaky_relu(back))
            back = depth_to_space(back, 2)
        else:
            back = Conv(self.shades, 1, gain=0.5, dtype=self.dtype, name="scene")(leaky_relu(back))
            back = enlarge(back)
        return back.astype(jnp.float32)

    def ground(self, back: jax.Array | None, motion: jax.Array, shift: jax.Array | None) -> jax.Array:
        """[B h w C], motion [B*K M], shift [B*K H W 2] or None -> what is seen, [B*K H W C]."""
        if back is None:
            plain = self.param("plain", nn.initializers.constant(-1 / FAST), (self.shades,))
            return jnp.broadcast_to(
                FAST * plain, (len(motion), self.resolution, self.resolution, self.shades)
            )
        back = jnp.repeat(back, len(motion) // len(back), 0)
        place = self.view(motion) if self.camera else jnp.tile(jnp.eye(2, 3), (len(motion), 1, 1))
        if shift is not None:
            return warp(back, place, self.resolution, place[:, 0, 0, None, None, None] * shift)
        return straight(back, place, self.resolution) if self.camera else back

    def view(self, motion: jax.Array) -> jax.Array:
        """Of motion [B*K M], where the camera looks: affine maps [B*K 2 3] from picture to ground."""
        return view_of(motion, self.objects, self.camera)

    def change(self, style: jax.Array, motion: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """What is none of the above: style [B ... S], motion [B*K M] -> [B*K H W C], painted for each time.

        And by how much the ground is shifted, [B*K H W 2] in halves of the picture's side, where it bends.
        """
        k, free = len(motion) // len(style), motion[:, -self.free :]
        style = jnp.repeat(style, k, 0)
        if self.grid and self.camera:  # the cells that are seen
            side = self.grid * self.resolution // ground_side(self.resolution, self.camera)
            style = straight(style, self.view(motion), side)
        if self.grid:
            free = jnp.broadcast_to(free[:, None, None], (*style.shape[:3], free.shape[-1]))
            code = jnp.concatenate([style, free], -1)
        else:
            code = leaky_relu(Dense(self.width, name="free")(jnp.concatenate([style, free], -1)))
        painter = Painter(self.resolution // 2, self.free_base, self.back_max, self.dtype, name="change")
        x = leaky_relu(painter(code))
        change = Conv(self.shades, 1, gain=0.1, dtype=self.dtype, name="changed")(x)
        shift = None
        if self.bend:
            shift = Conv(2, 1, gain=0.1, dtype=self.dtype, name="bent")(x)
            shift = self.bend * jnp.tanh(enlarge(shift).astype(jnp.float32))
        return enlarge(change).astype(jnp.float32), shift
