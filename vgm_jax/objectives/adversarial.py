"""Adversarial objectives on logits: arrays in, float32 scalars out.

D(x) below is the raw logit, high on real data. Logits are `[B]` or `[B, K]` (K heads or patches); a loss is
the mean over all of them. Both networks minimise their loss.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Loss = Callable[[jax.Array, jax.Array], jax.Array]


class Objective(NamedTuple):
    """A pair of losses, each `(real_logits, fake_logits) -> float32 scalar`, to be minimised."""

    d_loss: Loss
    g_loss: Loss


def _mean_softplus(logits: jax.Array) -> jax.Array:
    # softplus(t) = -log sigmoid(-t): the stable form of every log-probability here.
    return jnp.mean(jax.nn.softplus(jnp.asarray(logits, jnp.float32)))


def _mean(logits: jax.Array) -> jax.Array:
    return jnp.mean(jnp.asarray(logits, jnp.float32))


def minimax_d_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-E log s(D(x)) - E log(1 - s(D(G(z)))), s the sigmoid (arXiv 1406.2661, eq. 1)."""
    return _mean_softplus(-real_logits) + _mean_softplus(fake_logits)


def minimax_g_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E log(1 - s(D(G(z)))) (arXiv 1406.2661, eq. 1).

    Its gradient vanishes where the discriminator is sure.
    """
    del real_logits
    return -_mean_softplus(fake_logits)


def nonsaturating_g_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-E log s(D(G(z))) (arXiv 1406.2661, section 3)."""
    del real_logits
    return _mean_softplus(-fake_logits)


def hinge_d_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (arXiv 1705.02894)."""
    real_logits, fake_logits = jnp.asarray(real_logits, jnp.float32), jnp.asarray(fake_logits, jnp.float32)
    return jnp.mean(jax.nn.relu(1.0 - real_logits)) + jnp.mean(jax.nn.relu(1.0 + fake_logits))


def wasserstein_d_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E D(G(z)) - E D(x) (arXiv 1701.07875, eq. 3, negated).

    Needs a Lipschitz constraint: see `penalties`.
    """
    return _mean(fake_logits) - _mean(real_logits)


def critic_g_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """-E D(G(z)): the generator's loss of both the hinge and the Wasserstein objective."""
    del real_logits
    return -_mean(fake_logits)


def _margins(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    if jnp.shape(real_logits) != jnp.shape(fake_logits):  # [B] against [B, 1] would silently make B x B pairs
        raise ValueError(
            "real logits are paired with fake ones by position, so both need one shape; "
            f"got {jnp.shape(real_logits)} and {jnp.shape(fake_logits)}"
        )
    return jnp.asarray(real_logits, jnp.float32) - jnp.asarray(fake_logits, jnp.float32)


def relativistic_d_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E softplus(-(D(x) - D(G(z)))) (R3GAN, arXiv 2501.05441, eq. 2-3 with f(t) = -log(1 + e^-t)).

    Real and fake are paired by position. Raises ValueError where their shapes differ.
    """
    return _mean_softplus(-_margins(real_logits, fake_logits))


def relativistic_g_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E softplus(-(D(G(z)) - D(x))): `relativistic_d_loss` with real and fake swapped."""
    return _mean_softplus(_margins(real_logits, fake_logits))


minimax = Objective(minimax_d_loss, minimax_g_loss)
nonsaturating = Objective(minimax_d_loss, nonsaturating_g_loss)
hinge = Objective(hinge_d_loss, critic_g_loss)
wasserstein = Objective(wasserstein_d_loss, critic_g_loss)
relativistic = Objective(relativistic_d_loss, relativistic_g_loss)


def margin(objective: Objective, real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """What is positive where the discriminator is right about a real clip, of the logits' shape.

    D(x) itself; or D(x) - D(G(z)) of the pair, where the objective knows only differences.
    """
    if objective in (wasserstein, relativistic):
        return _margins(real_logits, fake_logits)
    return jnp.asarray(real_logits, jnp.float32)
