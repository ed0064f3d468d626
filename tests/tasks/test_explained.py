"""Codes imagined once more: the bound against exact likelihoods, and what it does for a game."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

from vgm_jax.models.discriminators.codes import CodeDiscriminator
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.layers import unit_variance
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import make_objective
from vgm_jax.tasks.codes import IMAGINATION, CodeGame
from vgm_jax.tasks.critics import Critics
from vgm_jax.tasks.explained import POSTERIORS, Explained, unexplained
from vgm_jax.tasks.gan_state import CodeState

SIGMA = 0.5


def bound(infer, matrix, read, draws):
    """Of one clip's content, the imagination a matrix [C Z]; the mean over many draws, in nats."""
    rows = jnp.repeat(read[None], len(draws), 0)
    found = jax.jit(lambda rows, draws: unexplained(infer(rows), lambda x: x @ matrix.T, rows, draws, SIGMA))
    return float(found(rows, draws).mean())


def test_the_bound_is_the_likelihood_where_what_is_inferred_is_exact():
    rng = np.random.default_rng(0)
    # With orthogonal columns, the exact posterior's numbers are independent of each other.
    matrix = np.linalg.qr(rng.normal(size=(5, 3)))[0] * [2.0, 1.0, 0.3]
    read = rng.normal(size=5)
    variance = 1.0 / (1.0 + np.sum(matrix**2, 0) / SIGMA**2)
    mean = variance * (matrix.T @ read) / SIGMA**2
    draws = rng.normal(size=(20_000, 3))
    draws = jnp.asarray((draws - draws.mean(0)) / draws.std(0), jnp.float32)

    def exact(shown):
        return jnp.tile(mean, (len(shown), 1)), jnp.tile(np.log(variance), (len(shown), 1))

    covariance = matrix @ matrix.T + SIGMA**2 * np.eye(5)
    expected = -multivariate_normal(np.zeros(5), covariance).logpdf(read)
    expected -= 2.5 * np.log(2 * np.pi * SIGMA**2)  # of the spread, which is given and not counted
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

    def learn(**weights):
        critic = CodeDiscriminator(widths=(32, 32))
        judges = dict(penalty_weight=1.0, motion_penalty_weight=1.0)
        judges = Critics(critic, make_objective("relativistic"), **judges)
        game = CodeGame(generator, None, judges, **settings, explained=Explained(generator, weights))
        critics = jax.jit(game.init_critics)(jax.random.key(1), read, times, {})
        assert [name for name in POSTERIORS if POSTERIORS[name] in critics] == list(weights)
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

    (found, spread), (_, alone) = learn(shown=3.0, moved=3.0), learn()
    for name in ("unexplained", "unexplained_moved"):
        assert found[-1][name] < 0.7 * found[0][name], [x[name] for x in found]
    assert spread > alone, (spread, alone)
    assert spread > 0.8, spread


def test_how_something_moves_is_explained_where_a_kind_is_told():
    """Else categories, which nobody infers, say which way it moves."""
    small = dict(noise_dim=4, motion_dim=4, width=8, canvas=4, front_base=16, back_base=16, categories=())
    generator = GENERATORS["continuous"](16, content_dim=8, form_dim=4, objects=0, free=2, **small)
    times, key = jnp.tile(jnp.arange(4.0) / 4, (3, 1)), jax.random.key(0)
    noise = generator.noise(jax.random.split(key, 3), times)
    params = generator.init(key, noise, times)
    read = generator.apply(params, noise, times, method="imagine")
    explained = Explained(generator, {"moved": 1.0})
    inferring = explained.init(key, read, times, None)
    move = lambda noise: generator.apply(  # noqa: E731
        params, read.content, read.form, noise, times, method="move"
    )

    @jax.jit
    def found(**present):
        draw = lambda tag, like: jax.random.normal(jax.random.fold_in(key, tag), like.shape)  # noqa: E731
        return explained(inferring, None, move, read, times, noise, None, present, draw)["moved"]

    told = [jnp.arange(3) == i for i in range(3)]
    each = [float(found(text=one)) for one in told]
    nobody = jnp.zeros(3, bool)
    assert len(set(each)) == 3
    assert float(found(text=told[0], label=told[2], audio=told[1])) == pytest.approx((each[0] + each[2]) / 2)
    assert float(found(audio=nobody)) == pytest.approx(np.mean(each)), "where no kind can be told, of all"
    assert float(found(text=nobody, label=nobody)) == 0.0
    assert float(explained.total({"moved": jnp.float32(2.0)})) == 2.0
