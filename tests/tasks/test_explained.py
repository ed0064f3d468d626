"""Codes imagined once more: the bound against exact likelihoods, and what it does for a game."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

from vgm_jax.models.discriminators.codes import CodeDiscriminator
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.generators.imagination import Posterior
from vgm_jax.models.layers import unit_variance
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import make_objective
from vgm_jax.tasks.codes import IMAGINATION, POSTERIOR, CodeGame
from vgm_jax.tasks.critics import Critics
from vgm_jax.tasks.explained import SPREAD, unexplained
from vgm_jax.tasks.gan_state import CodeState

TIMES = jnp.asarray([[0.0, 0.5]])


class Noise(NamedTuple):
    content: jax.Array


def codes(content):
    """What `content` [B C] shows, without objects, still."""
    count = len(content)
    return Codes(content, jnp.zeros((count, 0, 4)), jnp.zeros((count, 2, 0)))


def bound(infer, matrix, read, draws):
    """Of one clip's content, the imagination a matrix [C Z]; the mean over many draws, in nats."""
    rows = jnp.repeat(read[None], len(draws), 0)
    times = jnp.repeat(TIMES, len(draws), 0)

    @jax.jit
    def found(rows, draws):
        return unexplained(
            infer, lambda noise: codes(noise.content @ matrix.T), codes(rows), Noise(draws), times, draws
        )

    return float(found(rows, draws)) * len(read)


def test_the_bound_is_the_likelihood_where_what_is_inferred_is_exact():
    rng = np.random.default_rng(0)
    # With orthogonal columns, the exact posterior's numbers are independent of each other.
    matrix = np.linalg.qr(rng.normal(size=(5, 3)))[0] * [2.0, 1.0, 0.3]
    read = rng.normal(size=5)
    variance = 1.0 / (1.0 + np.sum(matrix**2, 0) / SPREAD**2)
    mean = variance * (matrix.T @ read) / SPREAD**2
    draws = rng.normal(size=(20_000, 3))
    draws = jnp.asarray((draws - draws.mean(0)) / draws.std(0), jnp.float32)

    def exact(shown):
        return jnp.tile(mean, (len(shown), 1)), jnp.tile(np.log(variance), (len(shown), 1))

    covariance = matrix @ matrix.T + SPREAD**2 * np.eye(5)
    expected = -multivariate_normal(np.zeros(5), covariance).logpdf(read)
    expected -= 2.5 * np.log(2 * np.pi * SPREAD**2)  # of the spread, which is given and not counted
    assert bound(exact, matrix, jnp.asarray(read), draws) == pytest.approx(expected, rel=1e-3)
    assert bound(lambda x: (exact(x)[0] + 0.5, exact(x)[1]), matrix, jnp.asarray(read), draws) > expected


@pytest.mark.slow
def test_a_game_explains_what_was_read_and_imagines_no_less_different_things():
    """64 clips that have nothing in common: critics alone leave what is imagined more alike."""
    count, dim = 64, 32
    small = dict(noise_dim=16, motion_dim=4, width=64, canvas=4, front_base=16, back_base=16)
    generator = GENERATORS["continuous"](
        16, content_dim=dim, form_dim=4, objects=0, free=2, **small, categories=()
    )
    times = jnp.asarray(np.tile(np.arange(4, dtype=np.float32) / 4, (count, 1)))
    rng = np.random.default_rng(0)
    content = unit_variance(jnp.asarray(rng.normal(size=(count, dim)), jnp.float32))
    motion = jnp.asarray(rng.normal(size=(count, 4, 2)), jnp.float32)
    read = Codes(content, jnp.zeros((count, 0, 4)), motion)
    rate = optax.adam(1e-3, 0.0)
    settings = dict(reconstruction_weight=1.0, noise=0.1)
    settings |= dict(rounds=100, batch=32, memory=count, recent=count, stride=1, moments=4)
    settings |= dict(imagination_optimizer=rate, critic_optimizer=rate)
    params = jax.jit(generator.init)(
        jax.random.key(0), generator.noise(jax.random.split(jax.random.key(1), 1), times[:1]), times[:1]
    )

    def learn(**explained):
        critic = CodeDiscriminator(widths=(32, 32))
        judges = dict(penalty_weight=1.0, motion_penalty_weight=1.0)
        judges = Critics(critic, make_objective("relativistic"), **judges)
        game = CodeGame(generator, None, judges, **settings, **explained)
        critics = jax.jit(game.init_critics)(jax.random.key(1), read, times, {})
        assert (POSTERIOR in critics) == bool(explained)
        state = CodeState(
            critics, rate.init(critics), rate.init(params["params"][IMAGINATION]), read, times, {}
        )
        play, learnt, found = jax.jit(game.play), params, []
        for i in range(4):
            state, learnt, metrics = play(state, learnt, count, jax.random.key(i))
            found.append({name: float(total / count) for name, (total, count) in metrics.items()})
        keys = jax.random.split(jax.random.key(5), count)
        imagined = game.imagine(learnt, generator.noise(keys, times), times).content
        return found, float(jnp.std(imagined, 0).mean() / jnp.std(content, 0).mean())

    explained = dict(posterior=Posterior(16, 64), explained_weight=3.0)
    (found, spread), (_, alone) = learn(**explained), learn()
    assert found[-1]["unexplained"] < 0.7 * found[0]["unexplained"], [x["unexplained"] for x in found]
    assert spread > alone, (spread, alone)
    assert spread > 0.8, spread
