"""What happens to all clips on the device. What only some training needs is in `augmentation`.

Random transforms take one key a clip, so that sharding does not change them.
"""

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
