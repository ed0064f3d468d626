"""What happens to clips on the device.

Random transforms take one key a clip, so that sharding does not change them.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np


def to_float(video: jax.Array) -> jax.Array:
    """uint8 0..255 -> float32 [-1, 1]: mean and standard deviation 0.5 of the unit range."""
    return video.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(video: jax.Array) -> jax.Array:
    """float [-1, 1] -> uint8, clipped and rounded; the inverse of `to_float`."""
    return jnp.round((jnp.clip(video.astype(jnp.float32), -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)


def sample_frames(
    video: jax.Array, times: jax.Array, keys: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """`count` distinct frames of each clip, in their order.

    video [B T ...], times [B T], keys [B] -> video [B count ...], times [B count]. Raises ValueError where a
    clip has fewer.
    """
    length = video.shape[1]
    if count > length:
        raise ValueError(f"cannot sample {count} frames of clips of {length}; lower model.frames_seen")
    if count == length:
        return video, times

    def choose(key):
        return jnp.sort(jnp.argsort(jax.random.uniform(key, (length,)))[:count])

    index = jax.vmap(choose)(keys)
    return jax.vmap(lambda v, i: v[i])(video, index), jnp.take_along_axis(times, index, 1)


def flip(video: jax.Array, keys: jax.Array) -> jax.Array:
    """Mirrors half of the clips left to right, all frames of a clip alike: video [B T H W C], keys [B].

    Only for data whose labels and captions do not speak of left and right.
    """
    flipped = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flipped[:, None, None, None, None], video[:, :, :, ::-1], video)


def reverse(video: jax.Array, times: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Runs half of the clips backwards.

    video [B T ...], times [B T], keys [B] -> video, times (ascending from the same start, the gaps reversed),
    and which are reversed, bool [B].
    """
    reversed_ = jax.vmap(jax.random.bernoulli)(keys)
    which = reversed_.reshape(-1, *(1,) * (video.ndim - 1))
    backwards = times[:, :1] + times[:, -1:] - times[:, ::-1]
    return (
        jnp.where(which, video[:, ::-1], video),
        jnp.where(reversed_[:, None], backwards, times),
        reversed_,
    )


def _blocks(side: int) -> np.ndarray:
    """[side side], the cosine transform of blocks of eight pixels."""
    i, k = np.arange(8), np.arange(8)[:, None]
    block = np.cos(np.pi * (i + 0.5) * k / 8) * np.where(k == 0, np.sqrt(1 / 8), np.sqrt(2 / 8))
    return np.kron(np.eye(side // 8), block).astype(np.float32)


def degrade(video: jax.Array, keys: jax.Array) -> jax.Array:
    """Mild damage that changes nothing of what a clip shows: video uint8 [B T H W C], keys [B].

    A blur of up to half a pixel, another brightness and contrast, noise of up to 5 grey levels, and cosine
    coefficients of 8 x 8 blocks rounded to multiples of up to 16 grey levels, as compression does.
    """

    def one(video, key):
        keys = jax.random.split(key, 5)
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
        return jnp.clip(jnp.round(x), 0, 255).astype(video.dtype)

    return jax.vmap(one)(video, keys)


AUGMENTATIONS = {"flip": flip, "degrade": degrade}


def make_augmentation(names: Sequence[str]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """(video [B T ...], keys [B]) -> video, by the named augmentations in turn.

    Raises ValueError, listing the names, for an unknown one.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise ValueError(
                f"data.augment has {name!r}, which is unknown; choose from {', '.join(AUGMENTATIONS)}"
            )

    def augment(video, keys):
        for i, name in enumerate(names):
            video = AUGMENTATIONS[name](video, jax.vmap(jax.random.fold_in, (0, None))(keys, i))
        return video

    return augment
