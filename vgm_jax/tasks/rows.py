"""Rows of a batch: a key for each, and some of them apart from the others."""

from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.types import Array, Key


def numbers(batch_size: int, axis_name: str | None = None) -> Array:
    """The places in the global batch of the clips of this device's part, int32 [batch_size]."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * batch_size
    return first + jnp.arange(batch_size)


def example_keys(key: Key, batch_size: int, axis_name: str | None = None) -> Array:
    """A key for each clip of this device's part of the batch, by its place in the global batch."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers(batch_size, axis_name))


def split_rows(tree: Any, n: int, name: str = "n") -> tuple[Any, Any]:
    """Rows 0, n, 2n, ... of arrays [B ...], and the others; a batch split over devices stays where it is.

    Raises ValueError where n, called by its `name`, does not divide B.
    """

    def rows(x):
        if len(x) % n:
            raise ValueError(
                f"{name}={n} must divide the {len(x)} clips of a batch (under pmap: of a device)"
            )
        return x.reshape(len(x) // n, n, *x.shape[1:])

    return (
        jax.tree.map(lambda x: rows(x)[:, 0], tree),
        jax.tree.map(lambda x: rows(x)[:, 1:].reshape(len(x) - len(x) // n, *x.shape[1:]), tree),
    )


def join_rows(chosen: Array, others: Array) -> Array:
    """The array that `split_rows` took apart."""
    others = others.reshape(len(chosen), -1, *chosen.shape[1:])
    return jnp.concatenate([chosen[:, None], others], 1).reshape(-1, *chosen.shape[1:])


def other_of_pair(x: Array) -> Array:
    """Rows 1, 0, 3, 2, ... of an array [B ...]. Raises ValueError for an odd number of rows."""
    if len(x) % 2:
        raise ValueError(f"clips are mixed two by two, but a batch (under pmap: of a device) has {len(x)}")
    return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)
