"""Tells codes that were read off clips from imagined ones."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import MLP
from vgm_jax.models.scene import Codes

MOMENT = 0.05  # seconds added to the time between two frames, so that velocities stay bounded


def describe(codes: Codes, times: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What codes of B clips at times [B K] seconds, ascending, show, and how that moves: float32 [B N] each.

    The latter says what it is that moves, and gives velocities beside places.
    """
    elapsed = jnp.diff(times, axis=1)
    velocity = jnp.diff(codes.motion, axis=1) / (elapsed + MOMENT)[..., None]

    def flat(*parts):
        return jnp.concatenate([part.reshape(len(part), -1) for part in parts], -1)

    shown = flat(codes.content, codes.form)
    return shown, flat(shown, 2.0 * codes.motion, velocity, 4.0 * times)


class CodeDiscriminator(nn.Module):
    """Logit of one of the two parts that `describe` gives."""

    widths: Sequence[int] = (512, 512, 512)

    @nn.compact
    def __call__(self, described: jax.Array) -> jax.Array:
        """[B N] -> logits [B]."""
        return MLP((*self.widths, 1), final_linear=True, name="layers")(described)[:, 0]
