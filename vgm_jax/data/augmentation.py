"""Augmentation of training clips, on the device: the same for all frames of a clip, with one key a clip.

An augmentation takes a clip, a dict like a Batch without its first axis, and a key. There are three kinds,
done in this order, and within each in the order of the config:

- in time, of whole clips: `reverse`, `speed`;
- in place: `flip`, `crop`, `translation`; they move a "track" too;
- in look, pixels alone: `colour`, `cutout`, `degrade`.

`flip` and `reverse` change what is said of a clip; see `data.views`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.data.views import MIRRORED, REVERSED, VIEWS, WAYS
from vgm_jax.types import Array, Batch, Key

SMALLEST = 0.6  # part of a frame's area that a crop keeps
ASPECT = 4 / 3  # its largest width over height, and height over width
SHIFT = 1 / 8  # of a side
BRIGHTNESS = 25.0  # grey levels
CONTRAST = 1.25  # factor
SATURATION = 1.5  # factor
HUE = 0.03  # of a turn: named colours keep their names
CUT = (1 / 4, 1 / 2)  # side of the square, of the frame's height
SPEED = 1.25  # factor

_ALONG_TIME = ("video", "track", "importance", "audio")  # reversed as they are
_MOMENTS = ("times", "shot")  # ascending, and still so when reversed

# Rec. 601: brightness, and two axes of colour in whose plane hue is an angle.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)


def _seen(clip: Batch, way: int) -> Batch:
    """All that is said of a clip, in another of the four ways of seeing it."""
    views = {name: clip[name][np.arange(WAYS) ^ way] for name in clip if name.endswith(VIEWS)}
    return clip | views | {name.removesuffix(VIEWS): value[0] for name, value in views.items()}


def _allowed(clip: Batch, way: int) -> Array:
    """Whether something is said of the clip seen in that way."""
    for name in ("label", "text", "question", "answer"):
        if name in clip and name + VIEWS not in clip:
            raise ValueError(
                f"clips have {name!r} but no {name + VIEWS!r}, which say what it becomes when a clip is "
                "flipped or reversed: take these out of data.augment, or wrap the source in data.views.Viewed"
            )
    return jnp.all(jnp.stack([jnp.all(clip[n][way] >= 0) for n in clip if n.endswith(VIEWS)] or [True]))


def either(which: Array, first: Batch, second: Batch) -> Batch:
    """The first clip where `which`, a bool scalar, is True, else the second."""
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), first, second)


def mirrored(clip: Batch) -> Batch:
    """A clip, left and right exchanged, and what is then said of it; twice, it is the clip again."""
    new = _seen(clip, MIRRORED) | {"video": clip["video"][:, :, ::-1]}
    if "track" in clip:
        x, rest = clip["track"][:, :1], clip["track"][:, 1:]
        new["track"] = jnp.concatenate([1.0 - x, rest], 1)
    return new


def backwards(clip: Batch) -> Batch:
    """A clip from its last frame to its first, and what is then said of it; twice, it is the clip again.

    Its times ascend from the same start, the gaps reversed; its sound runs backwards.
    """
    new = _seen(clip, REVERSED) | {name: clip[name][::-1] for name in _ALONG_TIME if name in clip}
    return new | {
        name: clip[name][0] + clip[name][-1] - clip[name][::-1] for name in _MOMENTS if name in clip
    }


def reverse(clip: Batch, key: Key) -> Batch:
    """`backwards`, half of the clips that allow it."""
    return either(jax.random.bernoulli(key) & _allowed(clip, REVERSED), backwards(clip), clip)


def speed(clip: Batch, key: Key) -> Batch:
    """Faster or slower by up to `SPEED`: the same frames, at times divided by the factor.

    No frame is made up. Networks that do not look at times see no change. Raises ValueError where there is
    sound, whose pitch would change.
    """
    if "audio" in clip:
        raise ValueError("data.augment has 'speed', but the clips have sound; take one of them out")
    factor = SPEED ** jax.random.uniform(key, minval=-1.0, maxval=1.0)
    start = clip["times"][0]
    return clip | {"times": start + (clip["times"] - start) / factor}


def flip(clip: Batch, key: Key) -> Batch:
    """`mirrored`, half of the clips that allow it."""
    return either(jax.random.bernoulli(key) & _allowed(clip, MIRRORED), mirrored(clip), clip)


def _resample(side: int, start: Array, length: Array) -> Array:
    """[side side], which takes a row of pixels to its part from `start`, in pixels, stretched, linearly."""
    centres = jnp.arange(side) + 0.5
    at = jnp.clip(start + centres / side * length, 0.5, side - 0.5)
    return jnp.maximum(0.0, 1.0 - jnp.abs(at[:, None] - centres))


def _moved(track: Array, start: Array, length: Array) -> Array:
    """Track [T 3] as seen in the window from `start` of `length`, (x, y) each in frame sides."""
    radius = track[:, 2:] / jnp.sqrt(length[0] * length[1])
    return jnp.concatenate([(track[:, :2] - start) / length, radius], 1)


def crop(clip: Batch, key: Key) -> Batch:
    """A window of at least `SMALLEST` of the area, about as wide as high, stretched to the whole frame."""
    area, aspect, *place = jax.random.uniform(key, (4,))
    area, aspect = SMALLEST + (1.0 - SMALLEST) * area, ASPECT ** (2.0 * aspect - 1.0)
    length = jnp.minimum(jnp.sqrt(area) * jnp.sqrt(jnp.stack([aspect, 1.0 / aspect])), 1.0)  # x, y
    start = (1.0 - length) * jnp.stack(place)
    t, h, w, c = clip["video"].shape
    # Products of matrices: looking pixels up one by one is slow wherever there is no texture unit.
    rows = _resample(h, start[1] * h, length[1] * h)
    columns = _resample(w, start[0] * w, length[0] * w)
    x = jnp.einsum("ih,thn->tin", rows, clip["video"].astype(jnp.float32).reshape(t, h, w * c))
    x = jnp.einsum("jw,nwc->njc", columns, x.reshape(t * h, w, c)).reshape(t, h, w, c)
    new = clip | {"video": _rounded(x, clip["video"])}
    return new | ({"track": _moved(clip["track"], start, length)} if "track" in clip else {})


def translation(clip: Batch, key: Key) -> Batch:
    """Moved by whole pixels, up to `SHIFT` of a side; what was at the edge is repeated beyond it."""
    video = clip["video"]
    h, w = video.shape[1:3]
    most = round(SHIFT * h), round(SHIFT * w)
    draws = jax.random.uniform(key, (2,))
    shift = [jnp.floor(u * (2 * m + 1)).astype(jnp.int32) - m for u, m in zip(draws, most, strict=True)]
    padded = jnp.pad(video, ((0, 0), *((m, m) for m in most), (0, 0)), mode="edge")
    start = [m - s for m, s in zip(most, shift, strict=True)]
    new = clip | {"video": jax.lax.dynamic_slice(padded, (0, *start, 0), video.shape)}
    if "track" in clip:
        new["track"] = clip["track"] + jnp.stack([shift[1] / w, shift[0] / h, jnp.zeros(())])
    return new


def _rounded(x: Array, like: Array) -> Array:
    return jnp.clip(jnp.round(x), 0, 255).astype(like.dtype)


def colour(clip: Batch, key: Key) -> Batch:
    """Another brightness and contrast, about the clip's mean, and, of three channels, saturation and hue."""
    video = clip["video"]
    draws = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
    contrast, x = CONTRAST ** draws[1], video.astype(jnp.float32)
    offset = (1.0 - contrast) * x.mean() + BRIGHTNESS * draws[0]
    if video.shape[-1] == 3:
        angle, saturation = 2 * jnp.pi * HUE * draws[3], SATURATION ** draws[2]
        cos, sin = saturation * jnp.cos(angle), saturation * jnp.sin(angle)
        turn = jnp.eye(3).at[1:, 1:].set(jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])]))
        mix = jnp.asarray(np.linalg.inv(_YIQ)) @ turn @ _YIQ
        x = sum(x[..., i : i + 1] * mix[:, i] for i in range(3))
    return clip | {"video": _rounded(contrast * x + offset, video)}


def cutout(clip: Batch, key: Key) -> Batch:
    """A grey square anywhere, its side within `CUT` of the height, partly outside at an edge."""
    video = clip["video"]
    h, w = video.shape[1:3]
    side, y, x = jax.random.uniform(key, (3,))
    half = 0.5 * h * (CUT[0] + (CUT[1] - CUT[0]) * side)
    rows = jnp.abs(jnp.arange(h) + 0.5 - y * h) < half
    columns = jnp.abs(jnp.arange(w) + 0.5 - x * w) < half
    grey = jnp.asarray(128, video.dtype)
    return clip | {"video": jnp.where((rows[:, None] & columns)[..., None], grey, video)}


def _blocks(side: int) -> np.ndarray:
    """[side side], the cosine transform of blocks of eight pixels."""
    i, k = np.arange(8), np.arange(8)[:, None]
    block = np.cos(np.pi * (i + 0.5) * k / 8) * np.where(k == 0, np.sqrt(1 / 8), np.sqrt(2 / 8))
    return np.kron(np.eye(side // 8), block).astype(np.float32)


def degrade(clip: Batch, key: Key) -> Batch:
    """Mild damage that changes nothing of what a clip shows.

    A blur of up to half a pixel, another brightness and contrast, noise of up to 5 grey levels, and cosine
    coefficients of 8 x 8 blocks rounded to multiples of up to 16 grey levels, as compression does.
    """
    video, keys = clip["video"], jax.random.split(key, 5)
    x = video.astype(jnp.float32)
    side_weight = jax.random.uniform(keys[0], maxval=0.135)  # of a neighbour; exp(-1 / (2 * 0.5**2))
    for axis in (1, 2):
        pad = [(1, 1) if a == axis else (0, 0) for a in range(4)]
        padded, n = jnp.pad(x, pad, mode="edge"), x.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, s, s + n, axis=axis) for s in (0, 2))
        x = (x + side_weight * (before + after)) / (1 + 2 * side_weight)
    gain, level = jax.random.uniform(keys[1], (2,), minval=-1.0, maxval=1.0)
    x = x * (1 + 0.05 * gain) + 5.0 * level
    x = x + jax.random.uniform(keys[2], maxval=5.0) * jax.random.normal(keys[3], x.shape)
    step = jnp.maximum(jax.random.uniform(keys[4], minval=-8.0, maxval=16.0), 1e-2)
    if video.shape[1] % 8 == 0 and video.shape[2] % 8 == 0:
        rows, columns = _blocks(video.shape[1]), _blocks(video.shape[2])
        coefficients = jnp.einsum("ih,thwc,jw->tijc", rows, x, columns)
        x = jnp.einsum("ih,tijc,jw->thwc", rows, jnp.round(coefficients / step) * step, columns)
    return clip | {"video": _rounded(x, video)}


IN_TIME = {"reverse": reverse, "speed": speed}
IN_PLACE = {"flip": flip, "crop": crop, "translation": translation}
IN_LOOK = {"colour": colour, "cutout": cutout, "degrade": degrade}
AUGMENTATIONS: dict[str, Callable[[Batch, Key], Batch]] = IN_PLACE | IN_LOOK | IN_TIME


class Augmentation:
    """The named augmentations of batches: (batch, keys [B]) -> batch, pure and jittable.

    Each draws from `fold_in(a clip's key, its place in names)`, so it is the same however a batch is split.
    Called, it does all; the three methods do one kind each, for a task that does something in between.

    Raises ValueError, listing the names, for an unknown one.
    """

    def __init__(self, names: Sequence[str] = ()):
        self.names = tuple(names)
        for name in self.names:
            if name not in AUGMENTATIONS:
                raise ValueError(
                    f"data.augment has {name!r}, which is unknown; choose from {', '.join(AUGMENTATIONS)}"
                )

    def __call__(self, batch: Batch, keys: Array) -> Batch:
        return self.in_look(self.in_place(self.in_time(batch, keys), keys), keys)

    def in_time(self, batch: Batch, keys: Array) -> Batch:
        """What needs whole clips, and changes their times."""
        return self._of(IN_TIME, batch, keys)

    def in_place(self, batch: Batch, keys: Array) -> Batch:
        """What changes where things are; frames may have been sampled before."""
        return self._of(IN_PLACE, batch, keys)

    def in_look(self, batch: Batch, keys: Array) -> Batch:
        """What changes pixels alone."""
        return self._of(IN_LOOK, batch, keys)

    def _of(self, kind: dict[str, Callable[[Batch, Key], Batch]], batch: Batch, keys: Array) -> Batch:
        for i, name in enumerate(self.names):
            if name in kind:
                batch = jax.vmap(kind[name])(batch, jax.vmap(jax.random.fold_in, (0, None))(keys, i))
        return batch
