"""Codes imagined once more, from noise inferred from them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import MOVED, describe
from vgm_jax.models.generators.imagination import Posterior
from vgm_jax.models.scene import Codes
from vgm_jax.objectives.variational import divergence
from vgm_jax.types import Array, Key, Params

SHOWN = "shown"
# Standard deviation about what is imagined: of codes of a mean square of one, and of how things move.
SPREAD = {SHOWN: 0.5, MOVED: 0.1}
KINDS = ("label", "sentence", "text")  # that say in which way something moves
# Where the networks that infer are kept beside the critics, learning as fast, though they are none.
POSTERIORS = {SHOWN: "posterior", MOVED: "posterior_moved"}
UNEXPLAINED = {SHOWN: "unexplained", MOVED: "unexplained_moved"}  # among the figures of an update
NOISE = {SHOWN: "noise_dim", MOVED: "motion_dim"}  # fields of the generator: how much there is to infer
DRAWS = {SHOWN: 3, MOVED: 4}  # tags of what is drawn


def unexplained(
    inferred: tuple[Array, Array], imagine: Callable[[Array], Array], read: Array, drawn: Array, spread: float
) -> Array:
    """How unlikely what was read, [B N], is, at most: nats [B], but for those of the `spread` itself.

    The negative evidence lower bound (arXiv 1312.6114, eq. 3), the imagination its decoder.

    Args:
      inferred: mean and log-variance of the noise that it was imagined of, [B Z] each.
      imagine: noise [B Z] -> the same as `read`, about which it lies with standard deviation `spread`.
      drawn: standard normal [B Z], by which noise is drawn from what was inferred.
    """
    mean, log_variance = inferred
    missed = imagine(mean + jnp.exp(0.5 * log_variance) * drawn) - read
    nats = jnp.sum(jnp.square(missed), -1) / (2.0 * spread**2)
    return nats + jnp.sum(divergence(mean, log_variance), -1)


class Explained:
    """How unlikely what was read is, at most, in nats a number: what is shown, and how it moves.

    Critics see late that what is imagined is too much alike: this sees that something that was read never is.

    Args:
      generator: whose noise is inferred.
      weights: of "shown" and "moved"; what has none is not asked.
    """

    def __init__(self, generator: Any, weights: Mapping[str, float]):
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.posteriors = {
            name: Posterior(getattr(generator, NOISE[name]), generator.width) for name in self.weights
        }

    def init(self, key: Key, codes: Codes, times: Array, asked: Array | None) -> Params:
        """Parameters, each network's by its name in `POSTERIORS`. asked: [B D]."""
        said, found = describe(codes, times), {}
        for name, posterior in self.posteriors.items():
            found[POSTERIORS[name]] = posterior.init(key, said[name], asked)["params"]
        return found

    def of(self, critics: Params) -> Params:
        """Of all parameters that are kept there, these."""
        return {POSTERIORS[name]: critics[POSTERIORS[name]] for name in self.posteriors}

    def __call__(
        self,
        params: Params,
        imagine: Callable[[Any], Codes],
        move: Callable[[Any], Codes],
        read: Codes,
        times: Array,
        noise: Any,
        asked: Array | None,
        present: Mapping[str, Array],
        draw: Callable[[int, Array], Array],
    ) -> dict[str, Array]:
        """Means over the clips, by name.

        Args:
          imagine, move: noise -> codes at `times` [B K]; `move`, of what was read.
          noise: for all but what is inferred (`models.generators.ContinuousNoise`).
          asked: what clips are asked for by [B D]; present: which conditions are told, bool [B] each. How
            something moves is inferred for clips of which a kind is told, where any may be: else categories
            say the kind, which are not inferred.
          draw: a tag, [B Z] -> standard normal [B Z], by which noise is drawn from what was inferred.
        """

        def moved(code):
            codes = jnp.broadcast_to(code[:, None, None], noise.motion.shape)
            return move(noise._replace(motion=codes)).motion.reshape(len(times), -1)

        again = {SHOWN: lambda x: describe(imagine(noise._replace(content=x)), times)[SHOWN], MOVED: moved}
        said, found = describe(read, times), {}
        for name, posterior in self.posteriors.items():
            inferred = posterior.apply({"params": params[POSTERIORS[name]]}, said[name], asked)
            kinds = [present[kind] for kind in KINDS if kind in present] if name == MOVED else []
            rows = jnp.any(jnp.stack(kinds), 0) if kinds else jnp.ones(len(times))
            what = said[SHOWN] if name == SHOWN else read.motion.reshape(len(times), -1)
            drawn = draw(DRAWS[name], inferred[0])
            nats = unexplained(inferred, again[name], what, drawn, SPREAD[name])
            found[name] = jnp.sum(rows * nats) / jnp.maximum(jnp.sum(rows), 1.0) / what.shape[-1]
        return found

    def total(self, found: Mapping[str, Array]) -> Array:
        """Weighted."""
        return sum((self.weights[name] * nats for name, nats in found.items()), jnp.zeros(()))
