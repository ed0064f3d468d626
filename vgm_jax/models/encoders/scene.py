"""Reads off a clip the codes that a generator paints."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.seeking import drift, saliency
from vgm_jax.models.layers import MLP, Conv, Dense, leaky_relu, space_to_depth, unit_variance
from vgm_jax.models.scene import (
    CAMERA,
    EXACT,
    POSE,
    Codes,
    aimed,
    bounded,
    ground_side,
    inverse,
    motion_dim,
    pixel_centres,
    placement,
    seen_part,
    spun,
    straight,
    view_of,
    warp,
)

FASTEST = 1.0  # turns a second, either way
RATES = 81  # that are weighed, evenly spaced
HARMONICS = 12  # of what a frame says about an object's turn
TRIED = 16  # rates that together are as likely as standing still
STILL = math.log(TRIED)
NEAR = 2.0  # free number of the size that a camera sees at first: a texel a pixel
# How far from where they are sought several objects are, at most, and how much larger or smaller, in free
# numbers: else one hides. So they hardly grow within a clip.
NEARBY = 0.25
CORRECTED = 0.1  # how much what is learnt moves a camera beside what it follows: with more, it strays


class Reading(NamedTuple):
    """Of B clips at K times: their codes, those before anything spins, and what each frame says of turns.

    turns float32 [B K O 2 HARMONICS]: of each object the log-likelihood of its angle, as cosines and sines.
    """

    codes: Codes
    still: Codes
    turns: jax.Array


def spinning(turns: jax.Array, times: jax.Array, rates: jax.Array) -> jax.Array:
    """Log-probability, but for a constant, [B O J] of spinning at `rates` [B J] turns a second.

    All frames' turns [B K O 2 HARMONICS] at times [B K] seconds together: what is upright at zero and spins
    is at an angle that any one frame shows only up to a symmetry of the thing.
    """
    order = jnp.arange(1, HARMONICS + 1)
    angle = 2 * jnp.pi * times[:, :, None, None] * rates[:, None, :, None] * order  # [B K J H]
    cosine, sine = jnp.split(turns, 2, -1)
    said = jnp.einsum("bkoh,bkjh->boj", cosine, jnp.cos(angle))
    said += jnp.einsum("bkoh,bkjh->boj", sine, jnp.sin(angle))
    return said + STILL * (rates == 0)[:, None]


class SceneEncoder(nn.Module):
    """Where objects are; then, looking there, what they are ("attend, infer, repeat", arXiv 1603.08575).

    A tower looks at each frame alone. Its maps' centres of mass (spatial softmax, arXiv 1509.06113) say where
    things are; all frames together say what the ground is. Each object is then cut out of each frame, in the
    middle and of one size, and its form is the mean of what these glimpses show. How fast it spins is what
    they say together, which is learned in dreams (`tasks.spins`). Where a camera moves, frames are first put
    together to one picture of the ground (a mosaic: Irani, Anandan and Hsu, "Mosaic based representations of
    video sequences and their applications", 1995), which cells are read off.
    """

    resolution: int
    content_dim: int = 64
    form_dim: int = 32
    objects: int = 1
    camera: float = 0.0
    free: int = 0
    grid: int = 0
    widths: Sequence[int] = (48, 96, 160)  # channels at a half, a quarter, ... of the resolution
    points: int = 24
    glimpse: int = 24  # pixels a side
    form_width: int = 128
    hidden: int = 256
    salient: bool = False  # whether objects are first sought where a frame is most salient, not in its middle
    spins: bool = False  # whether objects are upright but for how fast they spin; else at any angle
    # Whether cells are read off one frame, next to the middle of `window` seconds, and of others how they
    # differ from it; else cells are what all frames show on average.
    keyed: bool = False
    window: float = 1.0
    dtype: Any = jnp.float32

    @property
    def separable(self) -> bool:
        """Whether what clips show may be read off some frames, and how it moves off others.

        Of several objects which is which is told by what is read together, and so is where a camera begins,
        or from which frame others differ.
        """
        return self.objects <= 1 and not self.camera and not (self.grid and self.keyed)

    def __call__(self, frames: jax.Array, times: jax.Array) -> Codes:
        """frames [B K H W C] in [-1, 1], times [B K] seconds -> codes at these times."""
        return self.look(frames, times).codes

    @nn.compact
    def look(self, frames: jax.Array, times: jax.Array) -> Reading:
        """As `__call__`, with what led there."""
        b, k = times.shape
        if self.grid and self.camera and not self.objects and not self.free:
            nothing = jnp.zeros((b * k, 0, 3))
            motion = bounded(nothing, nothing[..., :2], self.follow(frames))
            return self.upright(self.panorama(frames, motion), motion, k)
        flat = frames.reshape(b * k, *frames.shape[2:]).astype(self.dtype)
        x = space_to_depth(flat, 2)
        x = leaky_relu(Conv(self.widths[0], 3, dtype=self.dtype, name="entry")(x))
        y = leaky_relu(Conv(self.widths[0], 3, dtype=self.dtype, name="look_a")(x))
        x = x + Conv(self.widths[0], 1, gain=0.5, dtype=self.dtype, name="look_b")(y)
        points = centres(Conv(self.points, 1, dtype=self.dtype, name="points")(x).astype(jnp.float32))
        maps = {x.shape[1]: x}
        for i, width in enumerate(self.widths[1:]):
            x = self.level(x, width, f"level{i}")
            maps[x.shape[1]] = x
        x = leaky_relu(x).reshape(b * k, -1).astype(jnp.float32)
        each = leaky_relu(Dense(self.hidden, name="frame")(x))
        whole = self.together(each, times)
        if self.grid:
            seen = [each, 4.0 * (each - jnp.repeat(whole, k, 0)), points]
            if self.keyed:
                shift = drift(frames)
                seen.append(4.0 * (shift - self.key(shift, times)[:, None]).reshape(b * k, -1))
        else:
            content = MLP((self.hidden, self.content_dim), final_linear=True, name="content")(whole)
            seen = [each, jnp.repeat(content, k, 0), points]
        start = 0.0
        if self.salient and self.objects:
            glance = saliency(frames, self.objects)
            trust = self.param("trust", nn.initializers.ones, (self.objects, 1))
            seen, start = [*seen, glance.reshape(b * k, -1)], trust * glance
        size = motion_dim(self.objects, self.camera, self.free)
        # Where there is a place to start from, chance shall not lead away from it.
        gain = 0.1 if self.salient or self.camera else 1.0
        motion = MLP((self.hidden, size), final_linear=True, final_gain=gain, name="motion")
        values = motion(jnp.concatenate(seen, -1))
        poses, rest = jnp.split(values, [POSE * self.objects], -1)
        place, turn = jnp.split(poses.reshape(b * k, self.objects, POSE), [3], -1)
        if self.salient and self.objects > 1:
            place = NEARBY * jnp.tanh(place)
        # Upright at first; of what spins all the time, for discs, which all things begin as, say no angle.
        turn = (0.0 if self.spins else 1.0) * turn + jnp.asarray([4.0, 0.0])
        if self.camera:
            rest = rest.at[:, :CAMERA].set(CORRECTED * rest[:, :CAMERA] + self.follow(frames))
        motion = bounded(place + start, turn, rest)
        if self.grid:
            content = self.panorama(frames, motion) if self.camera else self.laid_out(maps, each, times)
        forms = self.forms(flat, motion[:, : POSE * self.objects], k) if self.objects else None
        reading = self.upright(content, motion, k, forms)
        if not self.spins:
            return reading
        still, turns = reading.still, reading.turns
        rates = jnp.linspace(-FASTEST, FASTEST, RATES).at[RATES // 2].set(0.0)
        best = rates[jnp.argmax(spinning(turns, times, jnp.tile(rates, (b, 1))), -1)]  # [B O]
        angle = 2 * jnp.pi * times[..., None] * best[:, None]
        return Reading(still._replace(motion=spun(still.motion, angle)), still, turns)

    def level(self, x: jax.Array, width: int, name: str) -> jax.Array:
        """At half the resolution a residual block: [N h w C] -> [N h/2 w/2 width]."""
        x = Conv(width, 1, dtype=self.dtype, name=name)(space_to_depth(x, 2))
        y = Conv(width, 3, dtype=self.dtype, name=f"{name}_a")(leaky_relu(x))
        return x + Conv(width, 3, gain=0.5, dtype=self.dtype, name=f"{name}_b")(leaky_relu(y))

    def upright(
        self, content: jax.Array, motion: jax.Array, k: int, forms: tuple[jax.Array, ...] | None = None
    ) -> Reading:
        """What k frames show if nothing spins: content [B C], motion [B*K M], and forms and turns."""
        b = len(content)
        if forms is None:
            forms = jnp.zeros((b, 0, self.form_dim)), jnp.zeros((b, k, 0, 2 * HARMONICS))
        codes = Codes(unit_variance(content), unit_variance(forms[0]), motion.reshape(b, k, -1))
        return Reading(codes, codes, forms[1])

    def follow(self, frames: jax.Array) -> jax.Array:
        """Free numbers [B*K 3] of a camera that follows what scrolls in frames [B K H W C]."""
        shift = drift(frames)
        near = math.tanh(NEAR)
        at = -seen_part(near, self.camera) * (shift - shift.mean(1, keepdims=True))
        at = aimed(at, near, self.camera)
        at = jnp.arctanh(jnp.clip(at, -0.97, 0.97)).reshape(-1, 2)
        return jnp.concatenate([at, jnp.full((len(at), 1), NEAR)], -1)

    def check_grid(self, sides: Sequence[int]) -> None:
        """Raises ValueError where cells are none of the levels at which something is seen."""
        if self.grid not in sides or self.content_dim % self.grid**2:
            raise ValueError(
                f"grid={self.grid} must be one of what the encoder's levels have a side, "
                f"{', '.join(map(str, sides))}, and content_dim={self.content_dim} as many for each cell"
            )

    def panorama(self, frames: jax.Array, motion: jax.Array) -> jax.Array:
        """Frames [B K H W C] laid where motion [B*K M] says that a camera looked -> content [B C].

        Where they overlap, their mean. Where it looks, where that is learned at all, is from painting alone.
        """
        b, k, side = *frames.shape[:2], ground_side(self.resolution, self.camera)
        sides = [side >> i + 1 for i in range(len(self.widths)) if side % (2 << i) == 0]
        self.check_grid(sides)
        place = view_of(motion, self.objects, self.camera)
        x = frames.reshape(b * k, *frames.shape[2:])
        x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1)
        x = straight(x, jax.lax.stop_gradient(inverse(place)), side).reshape(b, k, side, side, -1).sum(1)
        x, there = x[..., :-1], x[..., -1:]
        x = jnp.concatenate([x / jnp.maximum(there, 0.1), jnp.minimum(there, 1.0)], -1).astype(self.dtype)
        x = leaky_relu(Conv(self.widths[0], 3, dtype=self.dtype, name="ground")(space_to_depth(x, 2)))
        for i, width in enumerate(self.widths[1 : 1 + sides.index(self.grid)]):
            x = self.level(x, width, f"ground{i}")
        x = Conv(self.content_dim // self.grid**2, 3, dtype=self.dtype, name="cells")(leaky_relu(x))
        return x.reshape(b, -1).astype(jnp.float32)

    def together(self, seen: jax.Array, times: jax.Array) -> jax.Array:
        """What a clip shows, [B ...], of what its frames do, [B*K ...] at times [B K]: their mean, or where
        cells are `keyed` what the one next to the middle does.
        """
        seen = seen.reshape(*times.shape, *seen.shape[1:])
        return self.key(seen, times) if self.grid and self.keyed else seen.mean(1)

    def key(self, seen: jax.Array, times: jax.Array) -> jax.Array:
        """Of what frames show, [B K ...], what the one does that is next to the middle: [B ...]."""
        nearest = jnp.argmin(jnp.abs(times - self.window / 2), 1)
        return jax.vmap(lambda frames, i: frames[i])(seen, nearest)

    def laid_out(self, maps: Mapping[int, jax.Array], each: jax.Array, times: jax.Array) -> jax.Array:
        """What is seen in each cell, a map [B*K g g W] a side g, and on the whole [B*K H], in frames at times
        [B K] -> content [B C].
        """
        self.check_grid(list(maps))
        width = maps[self.grid].shape[-1]
        whole = Dense(width, dtype=self.dtype, name="whole")(each)[:, None, None]
        cells = Conv(width, 3, dtype=self.dtype, name="cells_a")(leaky_relu(maps[self.grid]))
        x = self.together(leaky_relu(cells + whole), times)
        x = Conv(self.content_dim // self.grid**2, 3, dtype=self.dtype, name="cells_b")(x)
        return x.reshape(len(x), -1).astype(jnp.float32)

    def forms(self, frames: jax.Array, poses: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
        """frames [B*K H W C], poses [B*K POSE*O] -> forms [B O F] and turns [B K O 2 HARMONICS].

        All objects are looked at by the same layers. Poses are learned from the painting alone.
        """
        poses = jax.lax.stop_gradient(poses).reshape(-1, POSE)
        seen = warp(jnp.repeat(frames, self.objects, 0), inverse(placement(poses)), self.glimpse)
        width = self.form_width
        x = space_to_depth(seen.astype(self.dtype), 2)
        x = leaky_relu(Conv(width // 2, 3, dtype=self.dtype, name="form0_entry")(x))
        x = Conv(width, 1, dtype=self.dtype, name="form0_level")(space_to_depth(x, 2))
        y = Conv(width, 3, dtype=self.dtype, name="form0_a")(leaky_relu(x))
        x = x + Conv(width, 3, gain=0.5, dtype=self.dtype, name="form0_b")(leaky_relu(y))
        x = leaky_relu(x).reshape(len(x), -1).astype(jnp.float32)
        form = MLP((self.hidden, self.form_dim), final_linear=True, name="form0")(x)
        turns = jnp.zeros((len(x), 2 * HARMONICS))
        if self.spins:
            turns = leaky_relu(Dense(self.hidden // 2, name="turns0_hidden")(x))
            turns = Dense(2 * HARMONICS, gain=0.0, name="turns0")(turns)  # at first nothing spins
        form, turns = (x.reshape(-1, k, self.objects, x.shape[-1]) for x in (form, turns))
        return form.mean(1), turns


def centres(maps: jax.Array) -> jax.Array:
    """Centre of mass (x, y) and spread of each map's softmax: [N H W C] -> [N 3C]."""
    n, h, w, c = maps.shape
    share = jax.nn.softmax(4.0 * maps.reshape(n, h * w, c), 1)
    x, y = jnp.tile(pixel_centres(w), h), jnp.repeat(pixel_centres(h), w)

    def mean(values):
        return jnp.einsum("npc,p->nc", share, values, precision=EXACT)

    spread = jnp.sqrt(jnp.maximum(mean(x**2 + y**2) - mean(x) ** 2 - mean(y) ** 2, 0.0) + 1e-4)
    return 2.0 * jnp.concatenate([mean(x), mean(y), spread], -1)
