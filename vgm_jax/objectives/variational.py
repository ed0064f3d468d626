"""The variational autoencoder's bound on likelihoods (arXiv 1312.6114)."""

import jax
import jax.numpy as jnp


def divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Kullback-Leibler, in nats, of each normal distribution [...] from the standard one (app. B)."""
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance)
