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
from vgm_jax.tasks.codes import CRITIC, ENCODER, MOTION_NOISE, SMOOTH, CodeGame

B, K = 2, 3
KEYS = jax.random.split(jax.random.key(4), B)
TIMES = jnp.asarray(np.sort(np.random.default_rng(0).uniform(0, 1, (B, K)), 1), jnp.float32)
WEIGHTS = dict(reconstruction_weight=3.0, weight=0.7, penalty_weight=0.9, noise=0.25)


class Painter(nn.Module):
    """Frames of 2 x 2 pixels: one dense layer either way."""

    def setup(self):
        self.what, self.how, self.painting = nn.Dense(2 + 2), nn.Dense(3 * K), nn.Dense(12)

    def imagine(self, noise, times):
        content, form = jnp.split(self.what(jnp.sin(noise)), 2, -1)
        return self.move(content, form[:, None], noise, times)

    def move(self, content, form, noise, times):
        motion = self.how(jnp.concatenate([content, form[:, 0], jnp.cos(noise), times], -1))
        return Codes(content, form, jnp.sin(motion.reshape(-1, K, 3)))

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


@jax.jit
def play(players, reconstruction_weight, weight):
    weights = {"reconstruction_weight": reconstruction_weight, "weight": weight}
    return game(**weights).gradients(*players, FRAMES, TIMES, NOISE, KEYS)


def found(players, reconstruction_weight=3.0, weight=0.7):
    """What the game gives; compiled once for all weights."""
    return play(players, reconstruction_weight, weight)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def described(codes, times):
    """One clip: content and form; and, after these, motion, what it changes by in a second, and times."""
    shown = [*codes.content, *codes.form.reshape(-1)]
    moved = [*shown, *(2 * codes.motion.reshape(-1))]
    for i in range(1, K):
        moved += [*((codes.motion[i] - codes.motion[i - 1]) / (times[i] - times[i - 1] + 0.05))]
    return jnp.stack(shown), jnp.stack([*moved, *(4 * times)])


def test_a_description_has_codes_velocities_and_times():
    rng = np.random.default_rng(0)
    codes = Codes(*(jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((B, 2), (B, 3, 2), (B, K, 4))))
    shown, moved = describe(codes, TIMES)
    assert shown.shape == (B, 2 + 6) and moved.shape == (B, 2 + 6 + K * 4 + (K - 1) * 4 + K)
    for i in range(B):
        expected = described(jax.tree.map(lambda x, i=i: x[i], codes), TIMES[i])
        np.testing.assert_allclose(shown[i], expected[0], atol=1e-5)
        np.testing.assert_allclose(moved[i], expected[1], atol=1e-4)


def test_gradients_are_the_textbooks(players):
    """Clip by clip, each loss written out and differentiated on its own; codes get each clip's own noise."""

    def noisy(codes, i, side, still, motion):
        """Clip i's codes with noise of these deviations."""
        key = jax.random.fold_in(KEYS[i], side)
        draws = (jax.random.normal(jax.random.fold_in(key, n), x[i].shape) for n, x in enumerate(codes))
        parts = zip(codes, (still, still, motion), draws, strict=True)
        return Codes(*(x[i] + deviation * draw for x, deviation, draw in parts))

    def apply(g, *arguments, method):
        return Painter().apply({"params": g["params"]}, *arguments, method=method)

    def sides(g):
        """What each critic sees of each clip, read and imagined: lists of (shown, moved)."""
        read = Reader().apply({"params": players[0][ENCODER]}, FRAMES, TIMES)
        imagined = apply(g, NOISE, TIMES, method="imagine")
        real, fake = [], []
        for i in range(B):
            near = noisy(read, i, 0, 0.25, 0.0)
            args = near.content[None], near.form[None], NOISE[i : i + 1], TIMES[i : i + 1]
            moved = apply(g, *args, method="move")
            by_noise = jax.random.normal(jax.random.fold_in(jax.random.fold_in(KEYS[i], 2), 2), (K, 3))
            fake_motion = moved.motion[0] + MOTION_NOISE * by_noise
            real_motion = noisy(read, i, 1, 0.0, MOTION_NOISE).motion
            for rows, codes, side, motion in ((real, read, 1, real_motion), (fake, imagined, 2, fake_motion)):
                shown = described(noisy(codes, i, side, 0.5, 0.0), TIMES[i])[0]
                rows.append((shown, described(near._replace(motion=motion), TIMES[i])[1]))
        return real, fake

    def logit(d, part, x):
        return CodeDiscriminator(widths=(8,)).apply({"params": d[CRITIC][part]}, x[None])[0]

    def losses(d, real, fake, sign):
        """Of each critic: how often it takes the one for the other, softly."""
        found = []
        for n, part in enumerate(("shown", "moved")):
            margins = [logit(d, part, r[n]) - logit(d, part, f[n]) for r, f in zip(real, fake, strict=True)]
            found.append(jnp.mean(jax.nn.softplus(sign * jnp.stack(margins))))
        return found

    def g_loss(g):
        both = losses(players[1], *sides(g), 1.0)
        read, missed = Reader().apply({"params": g[ENCODER]}, FRAMES, TIMES), 0.0
        for i in range(B):
            codes = jax.tree.map(lambda x: x[None], noisy(read, i, 0, 0.25, 0.0))
            painted = apply(g, codes, method="paint")[0]
            missed += jnp.mean(jnp.sqrt((painted - FRAMES[i]) ** 2 + SMOOTH**2)) / B
        return 3.0 * missed + 0.7 * sum(both), (missed, both)

    def d_loss(d):
        real, fake = sides(players[0])
        both, penalty = losses(d, real, fake, -1.0), 0.0
        for n, part in enumerate(("shown", "moved")):
            for row in (*real, *fake):
                slope = jax.grad(lambda x, part=part: logit(d, part, x))(row[n])
                penalty += 0.5 * jnp.sum(slope**2) / B
        return sum(both) + 0.9 * penalty, (both, penalty)

    g, d, metrics = found(players)
    expected_g, (missed, g_figures) = jax.jit(jax.grad(g_loss, has_aux=True))(players[0])
    expected_d, (d_figures, penalty) = jax.jit(jax.grad(d_loss, has_aux=True))(players[1])
    for gradient, expected in ((g, expected_g), (d, expected_d)):
        assert largest(expected) > 1e-2
        for a, b in zip(*map(jax.tree.leaves, (gradient, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    figures = {"reconstruction": missed, "codes_penalty": penalty}
    for part, g_figure, d_figure in zip(("shown", "moved"), g_figures, d_figures, strict=True):
        figures |= {f"{part}_g_loss": g_figure, f"{part}_d_loss": d_figure}
    assert set(metrics) == set(figures)
    for name, value in figures.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-4)


def test_what_is_read_does_not_move_towards_what_is_imagined(players):
    g, d, _ = found(players, reconstruction_weight=0.0)
    assert largest(g[ENCODER]) == largest(g["params"]["painting"]) == 0.0
    for part in ("what", "how"):
        assert largest(g["params"][part]) > 1e-3
    for part in ("shown", "moved"):
        assert largest(d[CRITIC][part]) > 1e-3


def test_what_is_imagined_does_not_learn_to_reconstruct(players):
    g, d, _ = found(players, weight=0.0)
    assert largest(g["params"]["what"]) == largest(g["params"]["how"]) == 0.0
    assert largest(g[ENCODER]) > 1e-3 and largest(g["params"]["painting"]) > 1e-3
    assert largest(d["params"]) == 0.0, "the discriminator of frames has no part in it"


def test_noise_is_of_each_clips_own_key(players):
    whole = found(players)[2]
    gradients = jax.jit(game().gradients)
    halves = [gradients(*players, *(x[i : i + 1] for x in (FRAMES, TIMES, NOISE, KEYS)))[2] for i in range(B)]
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
