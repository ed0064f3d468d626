"""What a clip shows, in codes: a ground, objects of some form, and where they are at each time.

The generator paints codes, an encoder reads them off a clip, and a critic compares the two kinds.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

POSE = 5  # numbers an object and time: x, y, size, cosine and sine of its turn
CAMERA = 3  # numbers a time: x, y and size of what is seen of the ground
REACH = 0.95  # how far from the middle an object's centre may be, in halves of the picture's side
EDGE = 0.96  # how near to its edge, where a warp fades to nothing, a camera sees of the ground
EXACT = "highest"  # of products that give places: accelerators round what is multiplied to 11 or 8 bits
FURTHEST = 3.0  # free number beyond which nothing differs any more: a hyperbolic tangent of 0.995
SIZE = 1.5, 0.8  # canvas coordinates a picture coordinate at size 0, and the exponent's reach


class Codes(NamedTuple):
    """B clips at K times each.

    content float32 [B C]: the ground; form [B O F]: outline and colours of each of O objects, those behind
    first; motion [B K M]: `POSE` numbers an object, `CAMERA` numbers where there is a camera, the rest free.
    """

    content: jax.Array
    form: jax.Array
    motion: jax.Array


class Asked(NamedTuple):
    """What B clips are asked for by, in vectors of D numbers; zero where nothing is asked.

    clip float32 [B D]: of what is shown; motion [B K 2 D]: of how it moves, in the window of motion before
    the one that each time is in, and in that; heard [B K 3 H], where there is a sound: what is heard at the
    end of the window before, at the beginning of that, and at each time.
    """

    clip: jax.Array
    motion: jax.Array
    heard: jax.Array | None = None

    @classmethod
    def always(cls, clip: jax.Array, times: int) -> "Asked":
        """The same at so many times: clip [B D]."""
        return cls(clip, jnp.tile(clip[:, None, None], (1, times, 2, 1)))


class Known(NamedTuple):
    """Motion codes of B clips that are known, float32 [B P M], at P times [B P] seconds, where bool [B P].

    What moves by them passes through them. `told`: the times as a network is told them, from the beginning of
    the window of motion that the first is in, as in training; None: as `times`. `window`, `within`: the
    number of the window that each time is in, int32 [B P], and seconds into it, where `times` are counted
    from elsewhere than the first one's beginning; None: they are from there.
    """

    motion: jax.Array
    times: jax.Array
    valid: jax.Array
    told: jax.Array | None = None
    window: jax.Array | None = None
    within: jax.Array | None = None

    @property
    def moments(self) -> jax.Array:
        """Times [B P] whose remainder, over a window, is that of the known ones."""
        return self.times if self.within is None else self.within


def motion_dim(objects: int, camera: float, free: int) -> int:
    """M, the numbers that `Codes.motion` has a time."""
    return POSE * objects + CAMERA * bool(camera) + free


@jax.custom_vjp
def held(numbers: jax.Array) -> jax.Array:
    """Numbers as far as `FURTHEST`; what is further has the gradient of that, if it leads back, else none.

    Further out a hyperbolic tangent has no gradient, and what ran there would not come back.
    """
    return jnp.clip(numbers, -FURTHEST, FURTHEST)


def _held_back(numbers: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    # Descent goes against the gradient.
    out = (numbers > FURTHEST) & (gradient < 0) | (numbers < -FURTHEST) & (gradient > 0)
    return (jnp.where(out, 0.0, gradient),)


held.defvjp(lambda numbers: (held(numbers), numbers), _held_back)


def bounded(place: jax.Array, turn: jax.Array, rest: jax.Array) -> jax.Array:
    """Free numbers to motion codes [... M]: what is out of sight, or a dot, has no gradient to bring it back.

    place [... O 3] to x and y within `REACH` and size within one; turn [... O 2] to a length of one; rest
    [... R], of camera and others, to within one. Numbers are `held` before.
    """
    place, rest = held(place), held(rest)
    turn = turn * jax.lax.rsqrt(jnp.sum(jnp.square(turn), -1, keepdims=True) + 1e-6)
    poses = jnp.concatenate([REACH * jnp.tanh(place[..., :2]), jnp.tanh(place[..., 2:]), turn], -1)
    poses = poses.reshape(*rest.shape[:-1], POSE * place.shape[-2])
    return jnp.concatenate([poses, jnp.tanh(rest)], -1)


def unbounded(motion: jax.Array, objects: int) -> jax.Array:
    """The free numbers of motion codes [... M]: of each object x, y, size, angle in half turns; the rest.

    `bounded` takes them back, of an angle a the turn (cos pi a, sin pi a).
    """
    poses, rest = jnp.split(motion, [POSE * objects], -1)
    poses = poses.reshape(*motion.shape[:-1], objects, POSE)
    place = jnp.concatenate([poses[..., :2] / REACH, poses[..., 2:3]], -1)
    angle = jnp.arctan2(poses[..., 4:], poses[..., 3:4]) / jnp.pi
    most = math.tanh(FURTHEST)
    numbers = jnp.concatenate([jnp.arctanh(jnp.clip(place, -most, most)), angle], -1)
    rest = jnp.arctanh(jnp.clip(rest, -most, most))
    return jnp.concatenate([numbers.reshape(*motion.shape[:-1], (POSE - 1) * objects), rest], -1)


def nearer(numbers: jax.Array, others: jax.Array, objects: int) -> jax.Array:
    """Free numbers [... N], their angles less whole turns, which are none: near to others'."""
    poses, rest = jnp.split(numbers, [(POSE - 1) * objects], -1)
    apart = (numbers - others)[..., : (POSE - 1) * objects]
    whole = 2.0 * jnp.round(apart.reshape(*apart.shape[:-1], objects, POSE - 1)[..., 3] / 2.0)
    poses = poses.reshape(*whole.shape, POSE - 1).at[..., 3].add(-whole)
    return jnp.concatenate([poses.reshape(apart.shape), rest], -1)


def turned(numbers: jax.Array, objects: int) -> jax.Array:
    """Motion codes [... M] of free numbers, as `unbounded` gives them."""
    poses, rest = jnp.split(numbers, [(POSE - 1) * objects], -1)
    place, angle = jnp.split(poses.reshape(*numbers.shape[:-1], objects, POSE - 1), [3], -1)
    turn = jnp.concatenate([jnp.cos(jnp.pi * angle), jnp.sin(jnp.pi * angle)], -1)
    return bounded(place, turn, rest)


def between(first: jax.Array, second: jax.Array, part: jax.Array, objects: int) -> jax.Array:
    """Motion codes [B K M] between others, of the second by `part` [B] or [], or beyond them.

    Angles are not added up, for which way round is the nearer may change from frame to frame, and then all
    would jump. Directions are between directions, along the chord, and never beyond them: quick where the two
    are nearly opposite.
    """
    part = part.reshape(-1, 1, 1)
    a, b = (unbounded(x, objects) for x in (first, second))
    poses, rest = jnp.split(a + (b - a) * part, [(POSE - 1) * objects], -1)
    poses = poses.reshape(*first.shape[:-1], objects, POSE - 1)
    a, b = (x[..., : POSE * objects].reshape(*poses.shape[:-1], POSE)[..., 3:] for x in (first, second))
    turn = a + (b - a) * jnp.clip(part, 0.0, 1.0)[..., None]
    poses = poses.at[..., 3].set(jnp.arctan2(turn[..., 1], turn[..., 0]) / jnp.pi)
    return turned(jnp.concatenate([poses.reshape(*rest.shape[:-1], -1), rest], -1), objects)


def spun(motion: jax.Array, angle: jax.Array) -> jax.Array:
    """Motion codes [... M] with each object turned by an angle [... O] more, in radians, clockwise."""
    objects = angle.shape[-1]
    poses, rest = jnp.split(motion, [POSE * objects], -1)
    poses = poses.reshape(*motion.shape[:-1], objects, POSE)
    cosine, sine = poses[..., 3], poses[..., 4]
    c, s = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.stack([c * cosine - s * sine, s * cosine + c * sine], -1)
    poses = jnp.concatenate([poses[..., :3], turn], -1).reshape(*motion.shape[:-1], POSE * objects)
    return jnp.concatenate([poses, rest], -1)


def placement(pose: jax.Array) -> jax.Array:
    """Poses [N POSE] to affine maps [N 2 3] from picture to canvas coordinates: a shift, a turn, a scale.

    Coordinates go from -1 to 1 from edge to edge. A canvas is at size -1 1.5 times as wide as the picture, at
    size 1 0.3 times.
    """
    x, y, size, cosine, sine = jnp.split(pose, POSE, -1)
    scale = SIZE[0] * jnp.exp(SIZE[1] * size)
    a, b = scale * cosine, scale * sine
    return jnp.concatenate([a, -b, b * y - a * x, b, a, -b * x - a * y], -1).reshape(-1, 2, 3)


def inverse(affine: jax.Array) -> jax.Array:
    """The maps [N 2 3] back."""
    (a, b), (c, d) = affine[:, 0, :2].T, affine[:, 1, :2].T
    turn = jnp.stack([jnp.stack([d, -b], -1), jnp.stack([-c, a], -1)], 1) / (a * d - b * c)[:, None, None]
    return jnp.concatenate([turn, -jnp.matmul(turn, affine[..., 2:], precision=EXACT)], -1)


def view(camera: jax.Array, reach: float) -> jax.Array:
    """`CAMERA` numbers [N 3] within one to affine maps [N 2 3] from picture to ground: a shift and a scale.

    The ground is 1 + reach times as wide as the picture at scale one, and what is seen lies within it.
    """
    x, y, size = jnp.split(camera, CAMERA, -1)
    scale = seen_part(size, reach)
    x, y = EDGE * (1 - scale) * x, EDGE * (1 - scale) * y
    zero = jnp.zeros_like(scale)
    return jnp.concatenate([scale, zero, x, zero, scale, y], -1).reshape(-1, 2, 3)


def seen_part(size: jax.Array | float, reach: float) -> jax.Array:
    """How wide a picture is, in widths of the ground, by the last of `CAMERA` numbers."""
    return jnp.exp(0.2 * size - 0.2) / (1 + reach)


def aimed(places: jax.Array, size: jax.Array | float, reach: float) -> jax.Array:
    """The first of `CAMERA` numbers [... 2] of a picture whose middle is at places of the ground [... 2]."""
    return places / (EDGE * (1 - seen_part(size, reach)))


def view_of(motion: jax.Array, objects: int, reach: float) -> jax.Array:
    """Of motion [N M] of so many objects: where the camera looks, as `view`."""
    return view(motion[:, POSE * objects :][:, :CAMERA], reach)


def ground_side(resolution: int, camera: float) -> int:
    """Texels a side of the ground that a camera looks at: as fine as the picture is."""
    return 4 * round(resolution // 2 * (1 + camera) / 2) if camera else resolution


def pixel_centres(size: int) -> jax.Array:
    """[size], in [-1, 1] from edge to edge."""
    return (jnp.arange(size) + 0.5) * (2.0 / size) - 1.0


def straight(canvas: jax.Array, affine: jax.Array, size: int) -> jax.Array:
    """`warp` by maps [N 2 3] that do not turn, as two matrix products: no gather, whose gradient is slow."""

    def shares(texels: int, axis: int) -> jax.Array:
        at = affine[:, axis, axis, None] * pixel_centres(size) + affine[:, axis, 2:]
        at = (at + 1.0) * (0.5 * texels) - 0.5
        return jnp.maximum(1.0 - jnp.abs(at[..., None] - jnp.arange(texels)), 0.0).astype(canvas.dtype)

    x, y = shares(canvas.shape[2], 0), shares(canvas.shape[1], 1)
    return jnp.einsum("nyh,nhwc,nxw->nyxc", y, canvas, x)


def warp(canvas: jax.Array, affine: jax.Array, size: int, shift: jax.Array | None = None) -> jax.Array:
    """Bilinear resampling, zero outside the canvas: spatial transformers (arXiv 1506.02025, eq. 1 and 5).

    canvas [N h w C]; affine [N 2 3] takes picture coordinates (x, y, 1) to canvas coordinates, both with
    [-1, 1] from edge to edge; shift [N size size 2] is added to these -> [N size size C]. With a shift, what
    is beside the canvas is as its edge.
    """
    n, h, w, c = canvas.shape
    place = pixel_centres(size)
    grid = jnp.stack([jnp.tile(place, size), jnp.repeat(place, size), jnp.ones(size * size)], -1)
    at = jnp.einsum("pi,nji->npj", grid, affine, precision=EXACT)
    if shift is not None:
        at = at + shift.reshape(n, -1, 2)
    at = (at + 1.0) * (0.5 * jnp.asarray((w, h), at.dtype)) - 0.5
    if shift is not None:
        at = jnp.clip(at, 0.0, jnp.asarray((w - 1, h - 1), at.dtype))
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
