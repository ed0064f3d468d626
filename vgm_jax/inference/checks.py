"""What every model that makes samples refuses."""

import math
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

SEEDS = range(-(2**31), 2**32)  # what JAX tells apart where numbers have 32 bits


def check_counts(**counts: float | None) -> None:
    """Raises ValueError, naming it, for a number that is not None, and not positive, finite and whole."""
    for name, value in counts.items():
        check_positive(**{name: value})
        if value is not None and value != int(value):
            raise ValueError(f"{name}={value} must be a whole number")


def check_positive(**numbers: float | None) -> None:
    """Raises ValueError, naming it, for a number that is not None, and not positive and finite."""
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}={value} must be positive" + " and finite" * (value == math.inf))


def check_truncation(truncation: float) -> None:
    """Raises ValueError for what is not in 0..1."""
    if not 0 <= truncation <= 1:
        raise ValueError(f"truncation={truncation} must be in 0..1")


def directed(conditions: Mapping[str, Any]) -> bool:
    """Whether there is any among them that guidance is towards."""
    return any(conditions.get(name) is not None for name in ("text", "label", "audio"))


def check_guided(guidance: float | None, conditions: Mapping[str, Any]) -> None:
    """Raises ValueError where there is nothing that guidance could be towards."""
    if guidance not in (None, 1) and not directed(conditions):
        raise ValueError("guidance is towards a text, a label or a sound: give one")


def as_key(key: jax.Array | int) -> jax.Array:
    """A JAX key, or that of an integer seed. Raises ValueError for anything else."""
    if isinstance(key, jax.Array) and (key.ndim or jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        return key
    try:
        seed = operator.index(key)
    except TypeError:
        raise ValueError(f"key={key!r} must be a JAX key or a whole number") from None
    if seed not in SEEDS:
        raise ValueError(f"key={key} must be in {SEEDS.start}..{SEEDS.stop - 1}: beyond, seeds are alike")
    return jax.random.key(seed)


def key_of(key: jax.Array | int, index: int) -> jax.Array:
    """The key of sample `index`. Raises ValueError for what is neither a key nor a seed, and no index."""
    try:
        number = operator.index(index)
    except TypeError:
        number = -1
    if not 0 <= number < SEEDS.stop:
        raise ValueError(f"index={index} must be a whole number from 0 on")
    return jax.random.fold_in(as_key(key), number)
