"""ShapeShow clips that no longer show one whole shape, one colour, or one motion.

All on the device, with one key a clip. A clip of one object is taken apart into its still background, the
object's coverage and its colour, and put together again wrongly. Networks that judge generated clips learn
"none" from these: without them, any blob is a circle.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.sources.shapeshow import COLOURS, SHAPES

Array = jax.Array

TRUE, IGNORED, NONE = 0, -2, -1  # the last two are labels
# kind -> how often it is drawn, and what becomes of (shape, colour, motion, track): true, not asked, or none
KINDS = {
    "empty": (0.7, (NONE, NONE, NONE, IGNORED)),  # no object
    "two": (1.0, (NONE, NONE, NONE, IGNORED)),  # a second object, of another colour, size and place
    "warped": (3.0, (NONE, TRUE, TRUE, TRUE)),  # by waves, tapering and squashing: bells, melted shapes
    "bell": (2.0, (NONE, TRUE, TRUE, TRUE)),  # symmetric, wider towards one end, its sides curved
    "molten": (1.6, (NONE, TRUE, TRUE, TRUE)),  # corners rounded off, holes and notches filled
    "blurred": (0.7, (NONE, IGNORED, IGNORED, TRUE)),
    "erased": (1.0, (NONE, TRUE, IGNORED, IGNORED)),  # cut off at a line near its middle
    "faint": (0.7, (NONE, NONE, IGNORED, TRUE)),  # half transparent
    "two_coloured": (0.7, (IGNORED, NONE, TRUE, TRUE)),
    "recoloured": (1.0, (TRUE, NONE, TRUE, TRUE)),  # a colour far from all named ones
    "shuffled": (0.7, (TRUE, TRUE, NONE, IGNORED)),  # frames in another order
    "jumping": (0.7, (TRUE, TRUE, NONE, IGNORED)),  # it is elsewhere from some frame on
    "frozen": (0.5, (TRUE, TRUE, NONE, IGNORED)),
}
NAMES = tuple(KINDS)
_CHANCE = np.array([chance for chance, _ in KINDS.values()], np.float32)
_FATE = np.array([fate for _, fate in KINDS.values()])
ROUND = ("circle", "ring", "star")  # shapes that may melt to a circle
_PALETTE = np.array(list(COLOURS.values()), np.float32)
REACH = 1.25  # no part of an object is further from its centre, in radii


class Layers(NamedTuple):
    """A clip taken apart: background [H W 3], coverage [T H W], colour [3], all in [0, 1]."""

    background: Array
    coverage: Array
    colour: Array


def _centres(side: int) -> Array:
    return (jnp.arange(side, dtype=jnp.float32) + 0.5) / side


def _around(track: Array, side: int) -> tuple[Array, Array]:
    """Pixels as seen from the object, in its radii: x and y, each [T H W]."""
    x, y, radius = (track[:, i, None, None] for i in range(3))
    across, down = _centres(side)[None, None, :], _centres(side)[None, :, None]
    across, down = jnp.broadcast_arrays(across, down)
    return (across - x) / radius, (down - y) / radius


def _gaussian(side: int, sigma: Array) -> Array:
    """[H H], which blurs columns by `sigma` pixels."""
    apart = jnp.arange(side)[:, None] - jnp.arange(side)[None, :]
    weight = jnp.exp(-0.5 * jnp.square(apart / jnp.maximum(sigma, 1e-3)))
    return weight / weight.sum(1, keepdims=True)


def _blur(x: Array, sigma: Array) -> Array:
    """[... H W] blurred by `sigma` pixels."""
    weight = _gaussian(x.shape[-1], sigma)
    return jnp.einsum("ih,...hw,jw->...ij", weight, x, weight)


def take_apart(frames: Array, track: Array) -> Layers:
    """A clip [T H W 3] in [0, 1] of one bright object over a still, muted background; its track [T 3]."""
    side = frames.shape[1]
    u, v = _around(track, side)
    inside = jnp.square(u) + jnp.square(v) < (REACH + 1.5 / (side * track[:, 2, None, None])) ** 2
    visible = (~inside).astype(jnp.float32)
    seen, count = jnp.einsum("thw,thwc->chw", visible, frames), visible.sum(0)
    filled = _blur(seen, 4.0) / jnp.maximum(_blur(count, 4.0), 1e-4)
    background = jnp.where(count > 0, seen / jnp.maximum(count, 1.0), filled).transpose(1, 2, 0)
    # Objects are brighter than any background: the brightest pixels are those that they cover wholly.
    bright = jnp.where(inside, jnp.maximum(frames.max(-1) - 0.5, 0.0), 0.0) ** 4
    colour = jnp.einsum("thw,thwc->c", bright, frames) / jnp.maximum(bright.sum(), 1e-9)
    contrast = colour - background
    coverage = jnp.sum((frames - background) * contrast, -1) / jnp.maximum(jnp.sum(contrast**2, -1), 1e-3)
    return Layers(background, jnp.where(inside, jnp.clip(coverage, 0.0, 1.0), 0.0), colour)


def _sample(coverage: Array, track: Array, u: Array, v: Array) -> Array:
    """Coverage [T H W] looked up at points in radii around the object."""
    side = coverage.shape[1]
    x, y, radius = (track[:, i, None, None] for i in range(3))
    places = jnp.stack([y + v * radius, x + u * radius], 1) * side - 0.5
    return jax.vmap(lambda c, p: jax.scipy.ndimage.map_coordinates(c, list(p), 1))(coverage, places)


def _waves(draws: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """A displacement, in radii, whose waves are about as long as the object is wide: [T H W] each.

    draws: [4 2 2] in [0, 1); the waves drift with time by some of a turn.
    """
    angle, phase = 2 * jnp.pi * draws[0], 2 * jnp.pi * draws[2]
    number, drift = 1.8 + 1.8 * draws[1], 5.0 * (draws[3] - 0.5)
    over = jnp.linspace(0.0, 1.0, len(u))[:, None, None, None, None]
    along = u[..., None, None] * jnp.cos(angle) + v[..., None, None] * jnp.sin(angle)
    waves = jnp.sin(number * along + phase + over * drift).sum(-1)
    return waves[..., 0], waves[..., 1]


def _spoil(frames: Array, track: Array, key: Array, kind: Array) -> Array:
    """One clip [T H W 3] in [0, 1], spoiled."""
    length, side = frames.shape[:2]
    # All numbers in one draw: XLA compiles each draw anew.
    draws, used = jax.random.uniform(key, (100 + length,)), iter(range(100))

    def uniform(low, high, shape=()):
        found = jnp.stack([draws[next(used)] for _ in range(math.prod(shape))]).reshape(shape)
        return low + (high - low) * found

    def integer(low, high):
        return jnp.minimum(jnp.floor(uniform(low, high)).astype(jnp.int32), high - 1)

    def when(name, value, otherwise):
        return jnp.where(kind == NAMES.index(name), value, otherwise)

    # When: frames in another order, or one of them.
    usual = jnp.arange(length)
    order = when("shuffled", jnp.argsort(draws[100:]), usual)
    order = when("frozen", integer(0, length), order)
    frames, track = frames[order], track[order]
    background, coverage, colour = take_apart(frames, track)

    # Where: each pixel's place on the object.
    u, v = _around(track, side)
    cut, offset = uniform(0, 2 * jnp.pi), uniform(-0.35, 0.35)
    beyond = jax.nn.sigmoid(12.0 * (u * jnp.cos(cut) + v * jnp.sin(cut) - offset))
    waves_u, waves_v = _waves(uniform(0, 1, (4, 2, 2)), u, v)
    strength = when("warped", uniform(0.14, 0.36), 0.0)
    taper = when("warped", uniform(-0.6, 0.6), 0.0)
    squash = when("warped", jnp.exp(uniform(0.15, 0.35) * jnp.sign(uniform(-1, 1))), 1.0)
    shear = when("warped", uniform(-0.4, 0.4), 0.0)
    warped_u = u * squash * (1.0 + taper * v) + shear * v + strength * waves_u
    warped_v = v / squash + strength * waves_v
    # A second object is the first, turned and shrunk, elsewhere; a jump is the same from some frame on.
    away = jnp.sign(0.5 - track.mean(0)[:2] + 1e-3 * uniform(-1, 1, (2,))) * uniform(0.22, 0.45, (2,))
    shift = away / track[:, 2:]  # [T 2]
    turn, scale = uniform(0, 2 * jnp.pi), uniform(0.5, 1.1)
    far_u, far_v = (u - shift[:, 0, None, None]) / scale, (v - shift[:, 1, None, None]) / scale
    far_u, far_v = (
        far_u * jnp.cos(turn) - far_v * jnp.sin(turn),
        far_u * jnp.sin(turn) + far_v * jnp.cos(turn),
    )
    jumped = (usual >= integer(length // 4, length - length // 4))[:, None, None]
    # Widths at each height of what is symmetric about the upright: a bell, a drop, a vase.
    swell = uniform(-0.9, 0.9) * v + uniform(0.3, 0.75) * jnp.sin(
        uniform(2.0, 4.0) * v + uniform(0, 2 * jnp.pi)
    )
    bell_u = u * jnp.exp(swell)
    warped_u, warped_v = when("bell", bell_u, warped_u), when("bell", v * uniform(0.85, 1.15), warped_v)
    place_u = when("jumping", u - jumped * shift[:, 0, None, None], when("two", far_u, warped_u))
    place_v = when("jumping", v - jumped * shift[:, 1, None, None], when("two", far_v, warped_v))
    found = _sample(coverage, track, place_u, place_v)

    # What: how much is covered, and in which colour.
    size = side * track[:, 2].mean()  # pixels
    sigma = when("molten", uniform(0.25, 0.42) * size, when("blurred", uniform(0.3, 0.6) * size, 0.0))
    found = jnp.where(sigma > 0, _blur(found, sigma), found)
    found = when("molten", jnp.clip((found - uniform(0.3, 0.45)) * 1.2 * size + 0.5, 0.0, 1.0), found)
    found = when("erased", found * beyond, found)
    found = when("faint", found * uniform(0.2, 0.5), found)
    found = when("empty", 0.0, found)
    candidates = uniform(0, 1, (12, 3))
    distance = jnp.sqrt(jnp.min(jnp.sum(jnp.square(candidates[:, None] - _PALETTE), -1), 1))
    other = candidates[jnp.argmax((distance > 0.22) & (candidates.max(1) > 0.6))]
    named = jnp.asarray(_PALETTE)[integer(0, len(_PALETTE))]
    second = jnp.where(jnp.sum(jnp.abs(named - colour)) > 0.3, named, other)
    colour = when("recoloured", other, colour)
    paint = colour + when("two_coloured", beyond, 0.0)[..., None] * (second - colour)
    result = background + found[..., None] * (paint - background)
    both = background + coverage[..., None] * (colour - background)
    return when("two", both + found[..., None] * (second - both), result)


def spoil(
    frames: Array, track: Array, labels: Array, keys: Array, kinds: Array | None = None
) -> tuple[Array, Array, Array]:
    """Clips of one object, each spoiled in one way.

    Args:
      frames: float32 [B T H W 3] in [-1, 1], square.
      track: float32 [B T 3], x, y and radius in frame sides.
      labels: int32 [B 3], shape, colour and motion, as ShapeShow's "look".
      keys: [B].
      kinds: int32 [B], indices into `NAMES`; default: drawn.

    Returns:
      frames; labels with `NONE` and, for what cannot be asked, `IGNORED`; float32 [B], 1 where the track
      still holds.
    """
    if kinds is None:
        logits = jnp.log(_CHANCE / _CHANCE.sum())
        kinds = jax.vmap(lambda k: jax.random.categorical(jax.random.fold_in(k, 1), logits))(keys)
    spoiled = jax.vmap(_spoil)((frames + 1.0) / 2.0, track, keys, kinds)
    fate = jnp.asarray(_FATE)[kinds]
    # A molten circle is a circle, and so may be a molten ring or star.
    round_still = jnp.isin(labels[:, 0], jnp.array([SHAPES.index(name) for name in ROUND]))
    round_still &= kinds == NAMES.index("molten")
    labels = jnp.where(fate[:, :3] == TRUE, labels, fate[:, :3])
    labels = labels.at[:, 0].set(jnp.where(round_still, IGNORED, labels[:, 0]))
    return jnp.clip(spoiled, 0.0, 1.0) * 2.0 - 1.0, labels, (fate[:, 3] == TRUE).astype(jnp.float32)
