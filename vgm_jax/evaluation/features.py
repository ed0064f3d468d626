"""Which network embeds clips for which distance."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vgm_jax.data.transforms import to_float


@functools.cache
def random_convolutions() -> Callable[[jax.Array], jax.Array]:
    """Clips uint8 [B T H W C] -> float32 [B 96] from fixed random convolutions.

    A quick yardstick, not a published one: three strided 3x3 layers on pairs of neighbouring frames and their
    difference, then the mean and the spread over space and time. It sees colour, edges and movement, but no
    objects; use it to follow a run.
    """
    widths = (24, 32, 48)

    @jax.jit
    def embed(video):
        root = jax.random.key(20260101)
        x = to_float(video)
        later = x[:, 1:] if x.shape[1] > 1 else x
        earlier = x[:, :-1] if x.shape[1] > 1 else x
        b, t = later.shape[:2]
        x = jnp.concatenate([later, 4.0 * (later - earlier)], -1).reshape(b * t, *x.shape[2:4], -1)
        for i, width in enumerate(widths):
            shape = (3, 3, x.shape[-1], width)
            kernel = jax.random.normal(jax.random.fold_in(root, i), shape) * (2.0 / (9 * x.shape[-1])) ** 0.5
            x = jax.lax.conv_general_dilated(
                x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.leaky_relu(x, 0.2)
        x = x.reshape(b, -1, widths[-1])
        return jnp.concatenate([x.mean(1), x.std(1)], -1)

    return embed


EMBEDDINGS = {"random": random_convolutions}


def make_embedding(name: str) -> Callable[[jax.Array], jax.Array]:
    """The named embedding. Raises ValueError, listing the names, for an unknown one."""
    if name not in EMBEDDINGS:
        raise ValueError(f"evaluate.features={name!r} is unknown; choose one of {', '.join(EMBEDDINGS)}")
    return EMBEDDINGS[name]()
