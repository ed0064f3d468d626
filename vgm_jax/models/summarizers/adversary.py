"""What an unsupervised summary is learnt by: a film is rebuilt from it, and a critic tells both apart.

SUM-GAN (Mahasseni et al., CVPR 2017), with attention in place of its LSTMs, as in later work (arXiv
1911.12562): any number of moments at once.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import Attention, Dense, leaky_relu, unit_variance
from vgm_jax.types import Array

LEAST = 1e-4  # of a score: its logarithm stays finite
# By how much the logarithm of a moment's weight falls, from those like the one that is rebuilt to those that
# are nothing like it; and the seconds away from it in which it falls by one.
CONTRAST, REACH = 6.0, 2.0


class Reconstructor(nn.Module):
    """Variational autoencoder of a film whose decoder sees each moment by its score alone.

    A moment is rebuilt from a latent vector that is its own by its score, and by the rest what other moments
    that were selected have, the more they are like it (CONTRAST) and near it (REACH). What goes on as it did,
    or comes again, is rebuilt by the others; what happens and passes only by itself, if it was selected.
    """

    features: int  # D of the vectors
    width: int = 96
    latent: int = 32
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.entry = Dense(self.width, dtype=self.dtype)
        self.moments = Dense(2 * self.latent)
        # Linear, lest it tell from a mixture of latents which one has the most of it.
        self.rebuilt = Dense(self.features, 0.5)

    def encode(self, features: Array) -> tuple[Array, Array]:
        """Mean and log variance [B N latent] of the latents of vectors [B N D]."""
        x = leaky_relu(self.entry(unit_variance(features)))
        mean, log_variance = jnp.split(self.moments(x).astype(jnp.float32), 2, -1)
        return mean, jnp.clip(log_variance, -8.0, 4.0)

    def decode(self, latents: Array, features: Array, times: Array, scores: Array, valid: Array) -> Array:
        """The film [B N D] from latents [B N latent] at times [B N] s, seen by scores [B N] in 0..1."""
        x = unit_variance(features)
        alike = CONTRAST * jnp.einsum("bnd,bmd->bnm", x, x) / x.shape[-1]
        away = jnp.abs(times[:, :, None] - times[:, None]) / REACH
        seen = alike - away + jnp.where(valid, jnp.log(scores + LEAST), -1e9)[:, None]
        own = jnp.eye(x.shape[1], dtype=bool)
        context = jax.nn.softmax(jnp.where(own, -1e9, seen), -1) @ latents
        part = scores[..., None]
        found = part * latents + (1.0 - part) * context
        return self.rebuilt(found)

    def __call__(self, features: Array, times: Array, scores: Array, valid: Array, noise: Array) -> Array:
        """encode, sample with noise [B N latent], decode."""
        mean, log_variance = self.encode(features)
        return self.decode(mean + jnp.exp(0.5 * log_variance) * noise, features, times, scores, valid)


class Critic(nn.Module):
    """Whether a film's vectors are its own or were rebuilt."""

    width: int = 96
    heads: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array, times: Array, valid: Array) -> Array:
        """features [B N D], times [B N], valid bool [B N] -> logits float32 [B]."""
        x = leaky_relu(Dense(self.width, dtype=self.dtype, name="entry")(features))
        x, _ = Attention(self.heads, dtype=self.dtype, name="layer")(x, times, valid)
        x = unit_variance(x.astype(jnp.float32)) * valid[..., None]
        pooled = x.sum(1) / jnp.maximum(valid.sum(1), 1)[:, None]
        return Dense(1, name="logits")(leaky_relu(Dense(self.width, name="hidden")(pooled)))[:, 0]
