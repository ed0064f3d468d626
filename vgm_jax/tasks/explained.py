"""Codes imagined once more, from noise inferred from them."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import describe
from vgm_jax.models.scene import Codes
from vgm_jax.objectives.variational import divergence
from vgm_jax.types import Array

SPREAD = 0.5  # standard deviation of codes, of a mean square of one, about what is imagined


def unexplained(
    infer: Callable[[Array], tuple[Array, Array]],
    imagine: Callable[[Any], Codes],
    read: Codes,
    noise: Any,
    times: Array,
    drawn: Array,
) -> Array:
    """How unlikely what codes of clips at times [B K] show is, at most, in nats a number.

    The negative evidence lower bound (arXiv 1312.6114, eq. 3), the imagination its decoder.

    Args:
      infer: what is shown [B N] -> mean and log-variance of the noise that it was imagined of, [B Z] each.
      noise: for all but what is inferred (`models.generators.ContinuousNoise`).
      drawn: standard normal [B Z], by which noise is drawn from what was inferred.
    """
    shown = describe(read, times)["shown"]
    mean, log_variance = infer(shown)
    again = imagine(noise._replace(content=mean + jnp.exp(0.5 * log_variance) * drawn))
    missed = jnp.sum(jnp.square(describe(again, times)["shown"] - shown), -1) / (2.0 * SPREAD**2)
    return jnp.mean(missed + jnp.sum(divergence(mean, log_variance), -1)) / shown.shape[-1]
