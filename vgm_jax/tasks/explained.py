"""Codes imagined once more, from noise inferred from them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import MOVED, askable, describe
from vgm_jax.models.scene import Codes
from vgm_jax.objectives.variational import divergence
from vgm_jax.types import Array

DRAWS = 8  # of noise, of which the nearest counts
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


def nearest(move: Callable[[Any], Codes], read: Codes, noises: Any, times: Array) -> Array:
    """How far the nearest of several motions of each clip is from what was read at times [B K].

    The variety loss (Social GAN, arXiv 1803.10892, sec. 3.3), of places and velocities: what a clip is asked
    for by leaves room for many motions, but one of the few that are drawn shall be near to its own.

    Args:
      move: noise of R B clips, all clips once and then again -> codes.
      noises: of R draws each, [R B ...].
    """

    def moved(codes: Codes, times: Array) -> Array:
        return askable(describe(codes, times))[MOVED]

    count = len(times)
    draws = len(jax.tree.leaves(noises)[0]) // count
    found = moved(move(noises), jnp.tile(times, (draws, 1))).reshape(draws, count, -1)
    return jnp.mean(jnp.min(jnp.mean(jnp.square(found - moved(read, times)), -1), 0))
