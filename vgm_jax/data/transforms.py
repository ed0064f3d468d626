"""What happens to clips on the device.

Random transforms take one key a clip, so that sharding does not change them.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


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


AUGMENTATIONS = {"flip": flip}


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
