"""The game of codes, of networks of a few numbers: what is checked is who learns what from whom."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgm_jax.models.discriminators.codes import CodeDiscriminator, describe
from vgm_jax.models.encoders import SCENE_ENCODERS
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import make_objective
from vgm_jax.tasks.codes import CRITIC, ENCODER, CodeGame

B, K = 4, 3
KEYS = jax.random.split(jax.random.key(4), B)
TIMES = jnp.asarray(np.sort(np.random.default_rng(0).uniform(0, 1, (B, K)), 1), jnp.float32)
WEIGHTS = dict(reconstruction_weight=3.0, weight=0.7, penalty_weight=0.9, noise=0.25)


class Painter(nn.Module):
    """Frames of 2 x 2 pixels: one dense layer either way."""

    def setup(self):
        self.imagination, self.painting = nn.Dense(2 + 2 + 3 * K), nn.Dense(12)

    def imagine(self, noise, times):
        content, form, motion = jnp.split(self.imagination(jnp.sin(noise)), [2, 4], -1)
        return Codes(content, form[:, None], motion.reshape(-1, K, 3))

    def paint(self, codes):
        still = jnp.concatenate([codes.content, codes.form[:, 0]], -1)
        still = jnp.repeat(still[:, None], K, 1)
        return self.painting(jnp.concatenate([still, codes.motion], -1)).reshape(-1, K, 2, 2, 3)

    def __call__(self, noise, times):
        return self.paint(self.imagine(noise, times))


class Reader(nn.Module):
    @nn.compact
    def __call__(self, frames, times):
        read = nn.Dense(2 + 2 + 3 * K)(frames.reshape(len(frames), -1))
        content, form, motion = jnp.split(jnp.tanh(read), [2, 4], -1)
        return Codes(content, form[:, None], motion.reshape(-1, K, 3))


FRAMES = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (B, K, 2, 2, 3)), jnp.float32)
NOISE = jnp.asarray(np.random.default_rng(2).normal(size=(B, 5)), jnp.float32)


def game(objective="relativistic", **changes):
    critic = CodeDiscriminator(widths=(8,))
    return CodeGame(Painter(), Reader(), critic, make_objective(objective), **WEIGHTS | changes)


@pytest.fixture(scope="module")
def players():
    generator = Painter().init(jax.random.key(0), NOISE, TIMES)
    encoder, critic = game().init(jax.random.key(1), FRAMES, TIMES)
    other = {"frames": jnp.ones(3)}  # of a discriminator that this game does not know
    return {**generator, ENCODER: encoder}, {"params": other, CRITIC: critic}


def found(players, **changes):
    return jax.jit(game(**changes).gradients)(*players, FRAMES, TIMES, NOISE, KEYS)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def described(codes, times):
    """One clip's codes, in order, and the differences of its motion over the time between two frames."""
    rows = [*codes.content, *codes.form.reshape(-1), *(2 * codes.motion.reshape(-1))]
    for i in range(1, K):
        rows += [*((codes.motion[i] - codes.motion[i - 1]) / (times[i] - times[i - 1] + 0.05))]
    return jnp.stack([*rows, *(4 * times)])


def test_a_description_has_codes_velocities_and_times():
    rng = np.random.default_rng(0)
    codes = Codes(*(jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((B, 2), (B, 3, 2), (B, K, 4))))
    result = describe(codes, TIMES)
    assert result.shape == (B, 2 + 6 + K * 4 + (K - 1) * 4 + K)
    for i in range(B):
        np.testing.assert_allclose(
            result[i], described(jax.tree.map(lambda x, i=i: x[i], codes), TIMES[i]), atol=1e-4
        )


def test_gradients_are_the_textbooks(players):
    """Clip by clip, each loss written out and differentiated on its own; codes get each clip's own noise."""

    def noisy(codes, i, side, motion):
        key = jax.random.fold_in(KEYS[i], side)
        parts = zip(codes, (0.25, 0.25, motion), strict=True)
        draws = (jax.random.normal(jax.random.fold_in(key, n), x[i].shape) for n, x in enumerate(codes))
        return Codes(*(x[i] + s * draw for (x, s), draw in zip(parts, draws, strict=True)))

    def codes_of(g):
        read = Reader().apply({"params": g[ENCODER]}, FRAMES, TIMES)
        return read, Painter().apply({"params": g["params"]}, NOISE, TIMES, method="imagine")

    def judged(d, codes, side):
        logits = [
            CodeDiscriminator(widths=(8,)).apply(
                {"params": d[CRITIC]}, described(noisy(codes, i, side, 0.05), TIMES[i])[None]
            )[0]
            for i in range(B)
        ]
        return jnp.stack(logits)

    def g_loss(g):
        read, imagined = codes_of(g)
        frozen = codes_of(players[0])[0]
        loss = jnp.mean(jax.nn.softplus(judged(players[1], frozen, 1) - judged(players[1], imagined, 2)))
        missed = 0.0
        for i in range(B):
            codes = jax.tree.map(lambda x: x[None], noisy(read, i, 0, 0.0))
            painted = Painter().apply({"params": g["params"]}, codes, method="paint")[0]
            missed += jnp.mean(jnp.sqrt((painted - FRAMES[i]) ** 2 + 0.03**2)) / B
        return 3.0 * missed + 0.7 * loss, (missed, loss)

    def d_loss(d):
        read, imagined = codes_of(players[0])
        loss = jnp.mean(jax.nn.softplus(judged(d, imagined, 2) - judged(d, read, 1)))
        penalty = 0.0
        for codes, side in ((read, 1), (imagined, 2)):
            for i in range(B):
                x = described(noisy(codes, i, side, 0.05), TIMES[i])
                slope = jax.grad(
                    lambda x: CodeDiscriminator(widths=(8,)).apply({"params": d[CRITIC]}, x[None])[0]
                )(x)
                penalty += 0.5 * jnp.sum(slope**2) / B
        return loss + 0.9 * penalty, (loss, penalty)

    g, d, metrics = found(players)
    expected_g, (missed, g_figure) = jax.jit(jax.grad(g_loss, has_aux=True))(players[0])
    expected_d, (d_figure, penalty) = jax.jit(jax.grad(d_loss, has_aux=True))(players[1])
    for gradient, expected in ((g, expected_g), (d, expected_d)):
        assert largest(expected) > 1e-2
        pairs = zip(*map(jax.tree.leaves, (gradient, expected)), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    figures = dict(reconstruction=missed, codes_g_loss=g_figure, codes_d_loss=d_figure, codes_penalty=penalty)
    assert set(metrics) == set(figures)
    for name, value in figures.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-4)


def test_what_is_read_does_not_move_towards_what_is_imagined(players):
    g, d, _ = found(players, reconstruction_weight=0.0)
    assert largest(g[ENCODER]) == largest(g["params"]["painting"]) == 0.0
    assert largest(g["params"]["imagination"]) > 1e-3 and largest(d[CRITIC]) > 1e-3


def test_what_is_imagined_does_not_learn_to_reconstruct(players):
    g, d, _ = found(players, weight=0.0)
    assert largest(g["params"]["imagination"]) == 0.0
    assert largest(g[ENCODER]) > 1e-3 and largest(g["params"]["painting"]) > 1e-3
    assert largest(d["params"]) == 0.0, "the discriminator of frames has no part in it"


def test_noise_is_of_each_clips_own_key(players):
    whole = found(players)[2]
    halves = [
        jax.jit(game().gradients)(*players, FRAMES[s], TIMES[s], NOISE[s], KEYS[s])[2]
        for s in (slice(0, 2), slice(2, 4))
    ]
    for name, value in whole.items():
        assert float(value) == pytest.approx(sum(float(half[name]) for half in halves) / 2, rel=1e-5)


def test_it_learns_to_paint_what_it_reads():
    """The real networks, small: a disc of some colour that crosses a ground of another."""
    rng = np.random.default_rng(0)
    times = jnp.asarray(np.tile(np.arange(K, dtype=np.float32) / 4, (8, 1)))
    y, x = np.mgrid[:16, :16] / 7.5 - 1
    ground, colour = rng.uniform(-0.8, 0.8, (2, 8, 1, 1, 1, 3))
    start, speed = rng.uniform(-0.5, 0.5, (8, 2)), rng.uniform(-0.6, 0.6, (8, 2))
    place = start[:, None] + speed[:, None] * np.asarray(times)[..., None]  # [8 K 2]
    inside = np.hypot(x - place[..., 0, None, None], y - place[..., 1, None, None]) < 0.4
    frames = jnp.asarray(np.where(inside[..., None], colour, ground), jnp.float32)

    dims = dict(content_dim=8, form_dim=4)
    small = dict(noise_dim=8, motion_dim=4, width=16, canvas=4, front_base=64, back_base=32)
    generator = GENERATORS["continuous"](16, **dims, **small)
    small = dict(widths=(8, 8), points=2, glimpse=8, form_width=8, hidden=16)
    encoder, critic = SCENE_ENCODERS["scene"](16, **dims, **small), CodeDiscriminator(widths=(16,))
    weights = dict(reconstruction_weight=10.0, weight=1.0, penalty_weight=1.0, noise=0.1)
    play = CodeGame(generator, encoder, critic, make_objective("relativistic"), **weights)
    keys, optimizer = jax.random.split(jax.random.key(0), 8), optax.adam(1e-2)

    @jax.jit
    def begin():
        noise = generator.noise(keys, times)
        painter = generator.init(jax.random.key(1), noise, times)
        reader, judge = play.init(jax.random.key(2), frames, times)
        both = {**painter, ENCODER: reader}, {CRITIC: judge}
        return both, optimizer.init(both)

    @jax.jit
    def update(both, state, i):
        noise_keys = jax.vmap(lambda k: jax.random.fold_in(k, i))(keys)
        noise = generator.noise(noise_keys, times)
        g, d, metrics = play.gradients(*both, frames, times, noise, noise_keys)
        change, state = optimizer.update((g, d), state)
        return optax.apply_updates(both, change), state, metrics["reconstruction"]

    both, state = begin()
    missed = []
    for i in range(80):
        both, state, value = update(both, state, i)
        missed.append(float(value))
    assert np.mean(missed[-5:]) < 0.5 * missed[0], missed[:: len(missed) // 8]
