"""The game of codes, of networks of a few numbers: what is checked is who learns what from whom."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgm_jax.models.discriminators.codes import Agreement, CodeDiscriminator, askable, describe
from vgm_jax.models.encoders import SCENE_ENCODERS
from vgm_jax.models.encoders.condition import ConditionEncoder
from vgm_jax.models.encoders.scene import HARMONICS, Reading
from vgm_jax.models.generators import GENERATORS
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import make_objective
from vgm_jax.tasks.codes import ENCODER, IMAGINATION, MOTION_NOISE, SMOOTH, CodeGame
from vgm_jax.tasks.critics import Critics
from vgm_jax.tasks.gan_state import CodeState

B, K = 2, 3
KEYS = jax.random.split(jax.random.key(4), B)
TIMES = jnp.asarray(np.sort(np.random.default_rng(0).uniform(0, 1, (B, K)), 1), jnp.float32)
SETTINGS = dict(reconstruction_weight=3.0, noise=0.25)
SETTINGS |= dict(rounds=3, batch=2, memory=5, recent=5, stride=1, moments=K)
PARTS = "form", "shown", "moved"
STRAY = jax.random.split(jax.random.key(2), B)  # of which one strays, where any may


class Imagining(nn.Module):
    def setup(self):
        self.what, self.how = nn.Dense(2 + 2), nn.Dense(3 * K)

    def __call__(self, noise, times):
        content, form = jnp.split(self.what(jnp.sin(noise)), 2, -1)
        return self.move(content, form[:, None], noise, times)

    def move(self, content, form, noise, times):
        motion = self.how(jnp.concatenate([content, form[:, 0], jnp.cos(noise), times], -1))
        return Codes(content, form, jnp.sin(motion.reshape(-1, K, 3)))


class Painter(nn.Module):
    """Frames of 2 x 2 pixels: one dense layer either way."""

    def setup(self):
        self.imagination, self.painting = Imagining(), nn.Dense(12)

    def noise(self, keys, times):
        return jax.vmap(lambda key: jax.random.normal(key, (5,)))(keys)

    def imagine(self, noise, times, asked=None):
        return self.imagination(noise, times)

    def move(self, content, form, noise, times, asked=None, known=None):
        return self.imagination.move(content, form, noise, times)

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

    def look(self, frames, times):
        codes = self(frames, times)
        return Reading(codes, codes, jnp.zeros((*times.shape, 0, 2 * HARMONICS)))  # of no objects


FRAMES = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (B, K, 2, 2, 3)), jnp.float32)


def critics(*widths, penalty_weight=0.1, motion_penalty_weight=0.1, condition=None):
    critic, weights = CodeDiscriminator(widths=widths), dict(penalty_weight=penalty_weight)
    weights |= dict(motion_penalty_weight=motion_penalty_weight)
    return Critics(critic, make_objective("relativistic"), condition=condition, **weights)


def game(**changes):
    sgd = optax.sgd(0.1)
    optimizers = {"imagination_optimizer": sgd, "critic_optimizer": sgd}
    settings = optimizers | SETTINGS | changes
    judges = critics(8, penalty_weight=0.9, motion_penalty_weight=1.7)
    return CodeGame(Painter(), Reader(), judges, **settings)


@pytest.fixture(scope="module")
def players():
    """The generator's parameters, and the game's state: three codes known, the others not numbers."""

    @jax.jit
    def begin():
        generator = Painter().init(jax.random.key(0), Painter().noise(KEYS, TIMES), TIMES)
        return generator, *game().init(jax.random.key(1), generator, FRAMES[:1], TIMES[:1], {})

    generator, encoder, state = begin()
    rng = np.random.default_rng(2)

    def known(x, low, high):
        values = np.full(x.shape, np.nan, np.float32)
        values[:3] = np.sort(rng.uniform(low, high, (3, *x.shape[1:])), 1)
        return jnp.asarray(values)

    memory = jax.tree.map(lambda x: known(x, -1, 1), state.memory)
    state = state.replace(memory=memory, times=known(state.times, 0, 1))
    return {**generator, ENCODER: encoder}, state


play = jax.jit(game().play)
gradients = jax.jit(game().gradients)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def agree(found, expected, **tolerance):
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 1e-3, "atol": 1e-5} | tolerance))


def described(codes, times):
    """One clip: form; form after content; after these motion, what it changes by in a second, and times."""
    shown = [*codes.content, *codes.form.reshape(-1)]
    moved = [*shown, *(2 * codes.motion.reshape(-1))]
    for i in range(1, K):
        moved += [*((codes.motion[i] - codes.motion[i - 1]) / (times[i] - times[i - 1] + 0.05))]
    parts = [*codes.form.reshape(-1)], shown, [*moved, *(4 * times)]
    return {name: jnp.stack(part) for name, part in zip(PARTS, parts, strict=True)}


def noisy(codes, key, still, motion):
    """One clip's codes with noise of these deviations."""
    draws = (jax.random.normal(jax.random.fold_in(key, n), x.shape) for n, x in enumerate(codes))
    parts = zip(codes, (still, still, motion), draws, strict=True)
    return Codes(*(x + deviation * draw for x, deviation, draw in parts))


def apply(generator, *arguments, method):
    return Painter().apply({"params": generator["params"]}, *arguments, method=method)


def one(tree, i):
    return jax.tree.map(lambda x: x[i : i + 1], tree)


def test_a_description_has_codes_velocities_and_times():
    rng = np.random.default_rng(0)
    codes = Codes(*(jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((B, 2), (B, 3, 2), (B, K, 4))))
    found, by_hand = jax.jit(describe)(codes, TIMES), jax.jit(described)
    shapes = {"form": (B, 6), "shown": (B, 2 + 6), "moved": (B, 2 + 6 + K * 4 + (K - 1) * 4 + K)}
    assert {name: part.shape for name, part in found.items()} == shapes
    for i in range(B):
        for name, part in by_hand(jax.tree.map(lambda x, i=i: x[i], codes), TIMES[i]).items():
            np.testing.assert_allclose(found[name][i], part, atol=1e-4)
    without = codes._replace(form=codes.form[:, :0], motion=codes.motion[..., :0])
    assert set(jax.eval_shape(describe, without, TIMES)) == {"shown", "moved"}


def test_what_can_be_asked_for_is_told_once(players):
    """What is shown; and how it moves, of which the critic of motion knows what moves, too."""
    _, state = players
    found = jax.jit(describe)(state.memory, state.times)
    parts = askable(found)
    np.testing.assert_array_equal(parts["shown"], found["shown"])
    np.testing.assert_array_equal(np.concatenate([found["shown"], parts["moved"]], -1), found["moved"])


def test_agreement_is_a_cosine_over_a_temperature():
    rng = np.random.default_rng(3)
    described, asked = (jnp.asarray(rng.normal(size=(5, n)), jnp.float32) for n in (7, 3))
    module = Agreement(width=8, dim=4)
    params, apply = jax.jit(module.init)(jax.random.key(0), described, asked), jax.jit(module.apply)
    found = np.asarray(apply(params, described, asked))
    assert np.abs(found).max() <= np.exp(2.0) + 1e-4 and np.std(found) > 0.1
    order, other = rng.permutation(5), rng.permutation(5)
    again = apply(params, described[order], asked[other])
    np.testing.assert_allclose(again, found[order][:, other], atol=1e-4)
    warmer = {"params": params["params"] | {"sharpness": jnp.asarray(0.0)}}
    np.testing.assert_allclose(apply(warmer, described, asked), found / np.exp(2.0), atol=1e-5)


@pytest.mark.parametrize("far", [0.0, 1.5])
def test_reconstructing_is_the_textbooks(players, far):
    """Clip by clip, with each clip's own noise; what is read is handed on without it.

    Of what is painted from afar the encoder learns how it moves alone.
    """
    strays = [bool(jax.random.bernoulli(jax.random.fold_in(key, 3))) and far > 0 for key in STRAY]
    assert sorted(strays) == [False, far > 0]

    def loss(generator):
        read, missed = Reader().apply({"params": generator[ENCODER]}, FRAMES, TIMES), 0.0
        for i in range(B):
            own = jax.tree.map(lambda x, i=i: x[i], read)
            if strays[i]:
                own = Codes(*jax.lax.stop_gradient(own[:2]), own.motion)
            near = noisy(own, STRAY[i], far if strays[i] else 0.25, 0.0)
            painted = apply(generator, jax.tree.map(lambda x: x[None], near), method="paint")[0]
            missed += jnp.mean(jnp.sqrt((painted - FRAMES[i]) ** 2 + SMOOTH**2) - SMOOTH) / B
        return 3.0 * missed, (read, missed)

    learns = jax.jit(game(far=far).reconstruct)
    gradient, read, metrics, _ = learns(players[0], FRAMES, TIMES, STRAY, 0)
    expected, (reference, missed) = jax.jit(jax.grad(loss, has_aux=True))(players[0])
    agree(gradient, expected)
    agree(read, reference)
    assert float(metrics["reconstruction"]) == pytest.approx(float(missed), rel=1e-4)
    assert largest(gradient["params"][IMAGINATION]) == 0.0, "the imagination has no part in it"
    assert largest(gradient[ENCODER]) > 1e-3 and largest(gradient["params"]["painting"]) > 1e-3


def test_a_round_is_the_textbooks(players):
    """Clip by clip, each loss written out and differentiated on its own."""
    generator, state = players
    imagination, key = generator["params"][IMAGINATION], jax.random.key(7)
    rest, rows_key = jax.random.split(key)
    rows = jax.random.randint(rows_key, (2,), 0, 3)
    noise_keys, *side = jax.random.split(rest, (4, 2))

    def sides(imagination):
        """What each critic sees of each clip, read and imagined."""
        full = {"params": generator["params"] | {IMAGINATION: imagination}}
        noise, real, fake = Painter().noise(noise_keys, None), [], []
        for i, row in enumerate(rows):
            read, times = jax.tree.map(lambda x, row=row: x[row], state.memory), state.times[row]
            near = noisy(read, side[0][i], 0.125, 0.0)
            imagined = apply(full, noise[i : i + 1], times[None], method="imagine")
            parts = near.content[None], near.form[None], noise[i : i + 1], times[None]
            moved = apply(full, *parts, method="move").motion[0]
            moved = noisy(near._replace(motion=moved), side[2][i], 0.0, MOTION_NOISE).motion
            true = noisy(read, side[1][i], 0.0, MOTION_NOISE).motion
            clip = jax.tree.map(lambda x: x[0], imagined)
            for rows_seen, codes, k, motion in ((real, read, 1, true), (fake, clip, 2, moved)):
                seen = described(noisy(codes, side[k][i], 0.125, 0.0), times)
                rows_seen.append(seen | {"moved": described(near._replace(motion=motion), times)["moved"]})
        return real, fake

    def logit(critics, part, x):
        return CodeDiscriminator(widths=(8,)).apply({"params": critics[part]}, x[None])[0]

    def losses(critics, real, fake, sign):
        """Of each critic: how often it takes the one for the other, softly."""
        found = {}
        for part in PARTS:
            pairs = zip(real, fake, strict=True)
            margins = [logit(critics, part, r[part]) - logit(critics, part, f[part]) for r, f in pairs]
            found[part] = jnp.mean(jax.nn.softplus(sign * jnp.stack(margins)))
        return found

    def g_loss(imagination):
        found = losses(state.critics, *sides(imagination), 1.0)
        return sum(found.values()), found

    def d_loss(critics):
        real, fake = sides(imagination)
        found, total, penalty = losses(critics, real, fake, -1.0), 0.0, 0.0
        for part, gamma in zip(PARTS, (0.45, 0.45, 1.7), strict=True):  # half is held
            for row in (*real, *fake):
                slope = jax.grad(lambda x, part=part: logit(critics, part, x))(row[part])
                penalty += 0.5 * jnp.sum(slope**2) / len(rows)
                total += gamma * 0.5 * jnp.sum(slope**2) / len(rows)
        return sum(found.values()) + total, (found, penalty)

    g, d, metrics = gradients(generator, imagination, state, 3, key, 0.5)
    expected_g, g_figures = jax.jit(jax.grad(g_loss, has_aux=True))(imagination)
    expected_d, (d_figures, penalty) = jax.jit(jax.grad(d_loss, has_aux=True))(state.critics)
    for gradient, expected in ((g, expected_g), (d, expected_d)):
        assert largest(expected) > 1e-2
        agree(gradient, expected)
    figures = {"codes_penalty": penalty}
    for part in PARTS:
        figures |= {f"{part}_g_loss": g_figures[part], f"{part}_d_loss": d_figures[part]}
    assert set(metrics) == set(figures)
    for name, value in figures.items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-4)


def test_a_game_is_its_rounds_one_after_another(players):
    generator, state = players
    key = jax.random.key(9)
    after, moved, metrics = play(state, generator, 3, key)
    imagination, critics, shown = generator["params"][IMAGINATION], state.critics, []
    for round_key in jax.random.split(key, 3):
        now = state.replace(critics=critics)
        g, d, losses = gradients(generator, imagination, now, 3, round_key)
        imagination = jax.tree.map(lambda p, x: p - 0.1 * x, imagination, g)
        critics = jax.tree.map(lambda p, x: p - 0.1 * x, critics, d)
        shown.append(float(losses["form_g_loss"]))
    agree((moved["params"][IMAGINATION], after.critics), (imagination, critics))
    total, count = metrics["form_g_loss"]
    assert (float(total), float(count)) == (pytest.approx(np.sum(shown), rel=1e-4), 3)
    assert largest(jax.tree.map(np.subtract, imagination, generator["params"][IMAGINATION])) > 1e-3
    for name in (ENCODER, "painting"):
        before, now = ({**x, **x["params"]}[name] for x in (generator, moved))
        assert all(map(np.array_equal, jax.tree.leaves(before), jax.tree.leaves(now))), "it only imagines"


def test_codes_read_last_are_remembered_in_place_of_the_oldest(players):
    _, state = players
    new = Codes(jnp.ones((4, 2)), 2 * jnp.ones((4, 1, 2)), 3 * jnp.ones((4, K, 3)))
    after = jax.jit(game().remember)(state, new, 4 * jnp.ones((4, K)), {})
    for found, old, value in zip(after.memory, state.memory, (1, 2, 3), strict=True):
        assert found.shape == old.shape and np.all(found[:4] == value)
        assert np.array_equal(found[4:], old[:1])
    assert np.all(after.times[:4] == 4) and np.array_equal(after.times[4:], state.times[:1])


@pytest.mark.parametrize(
    "frames, moments, parts",
    [
        (16, 8, [(i, i + 1) for i in range(0, 16, 2)]),
        (5, 8, [(i,) for i in range(5)]),
        (7, 3, [(0, 1, 2), (3, 4, 5), (6,)]),
    ],
)
def test_codes_are_kept_of_moments_all_through_a_clip(frames, moments, parts):
    """One of each part; of many clips any of it, whatever was chosen of the part before."""
    video = np.arange(80 * frames).reshape(80, frames, 1)
    keys = jax.random.split(jax.random.key(0), 80)
    found = jax.jit(game(moments=moments).spread)(video, video[..., 0] / 4, keys)
    index = np.asarray(found["video"])[..., 0] - video[:, 0]
    assert np.array_equal(found["times"], np.asarray(found["video"])[..., 0] / 4)
    for place, part in enumerate(parts):
        assert set(index[:, place]) == set(part)
    for place in range(len(parts) - 1):
        pairs = set(map(tuple, index[:, place : place + 2]))
        assert len(pairs) == len(parts[place]) * len(parts[place + 1])


@pytest.mark.parametrize("far", [0.0, 1.5])
def test_noise_is_of_each_clips_own_key(players, far):
    learns = jax.jit(game(far=far).reconstruct)
    whole = learns(players[0], FRAMES, TIMES, STRAY, 0)[2]["reconstruction"]
    halves = [learns(players[0], *one((FRAMES, TIMES, STRAY), i), 0)[2]["reconstruction"] for i in range(B)]
    assert float(whole) == pytest.approx(float(sum(halves)) / 2, rel=1e-5)


def test_it_learns_to_paint_what_it_reads_and_to_imagine_it():
    """The real networks, small: a disc of some colour that crosses a ground of another."""
    rng = np.random.default_rng(0)
    times = jnp.asarray(np.tile(np.arange(K, dtype=np.float32) / 4, (8, 1)))
    y, x = np.mgrid[:8, :8] / 3.5 - 1
    ground, colour = rng.uniform(-0.8, 0.8, (2, 8, 1, 1, 1, 3))
    start, speed = rng.uniform(-0.5, 0.5, (8, 2)), rng.uniform(-0.6, 0.6, (8, 2))
    place = start[:, None] + speed[:, None] * np.asarray(times)[..., None]  # [8 K 2]
    inside = np.hypot(x - place[..., 0, None, None], y - place[..., 1, None, None]) < 0.4
    frames = jnp.asarray(np.where(inside[..., None], colour, ground), jnp.float32)

    dims = dict(content_dim=8, form_dim=4)
    small = dict(noise_dim=8, motion_dim=4, width=16, canvas=4, front_base=64, back_base=32)
    generator = GENERATORS["continuous"](8, **dims, **small, categories=(8,))
    small = dict(widths=(8, 8), points=2, glimpse=8, form_width=8, hidden=16)
    encoder = SCENE_ENCODERS["scene"](8, **dims, **small)
    optimizer = optax.adam(1e-2)
    settings = dict(reconstruction_weight=10.0, noise=0.1)
    settings |= dict(rounds=2, batch=16, memory=8, recent=8, stride=1, moments=K)
    rates = dict(imagination_optimizer=optax.adam(1e-2, 0.0), critic_optimizer=optax.adam(1e-2, 0.0))
    learning = CodeGame(generator, encoder, critics(16), **rates, **settings)
    keys = jax.random.split(jax.random.key(0), 8)

    @jax.jit
    def begin():
        painter = generator.init(jax.random.key(1), generator.noise(keys, times), times)
        reader, state = learning.init(jax.random.key(2), painter, frames[:1], times[:1], {})
        both = {**painter, ENCODER: reader}
        return both, optimizer.init(both), state

    @jax.jit
    def update(both, opt, state, i):
        noise_keys = jax.vmap(lambda k: jax.random.fold_in(k, i))(keys)
        gradient, read, metrics, _ = learning.reconstruct(both, frames, times, noise_keys, i)
        change, opt = optimizer.update(gradient, opt)
        state = learning.remember(state, read, times, {})
        state, both, _ = learning.play(state, optax.apply_updates(both, change), 8, jax.random.key(i))
        imagined = learning.imagine(both, generator.noise(noise_keys, times), times)
        apart = [jnp.mean(a, 0) - jnp.mean(b, 0) for a, b in zip(imagined, read, strict=True)]
        return both, opt, state, (metrics["reconstruction"], sum(jnp.sum(x**2) for x in apart))

    both, opt, state = begin()
    found = []
    for i in range(100):
        both, opt, state, values = update(both, opt, state, i)
        found.append([float(x) for x in values])
    missed, apart = np.transpose(found)
    assert np.mean(missed[-5:]) < 0.5 * missed[0], missed[::10]
    assert np.mean(apart[-10:]) < 0.5 * np.mean(apart[:3]), apart[::10]


def test_it_learns_to_show_what_is_asked_for():
    """Codes alone, of two classes: each has a form and a side that it goes to."""
    classes, count = 2, 64
    dims = dict(content_dim=2, form_dim=4)
    small = dict(noise_dim=4, motion_dim=4, width=32, canvas=4, front_base=16, back_base=16)
    asked = dict(conditions=("label", "image"), classes=classes)
    generator = GENERATORS["continuous"](16, **dims, **small, **asked, categories=(4,))
    condition = ConditionEncoder(("label",), classes, width=16)
    rate = optax.adam(2e-3, 0.0)
    settings = dict(SETTINGS, noise=0.1, rounds=100, batch=32, memory=count, moments=4)
    rates = dict(imagination_optimizer=rate, critic_optimizer=rate, known=True)
    judges = critics(32, 32, condition=condition)
    learning = CodeGame(generator, Reader(), judges, **settings, **rates)
    rng = np.random.default_rng(0)
    label = jnp.asarray(rng.integers(0, classes, count))
    times = jnp.asarray(np.tile(np.arange(4, dtype=np.float32) / 4, (count, 1)))
    form = np.where(np.asarray(label)[:, None] == np.arange(classes).repeat(2), 1.4, 0.0)[:, None]
    side = np.where(np.asarray(label) > 0, 0.6, -0.6)[:, None]
    start = rng.uniform(-0.2, 0.2, (count, 1))
    still = np.zeros_like(times)
    path = [start + side * np.asarray(times), still, still, still + 1, still]
    codes = Codes(np.ones((count, 2)), form, np.stack(path, -1))
    codes = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), codes)
    params = jax.jit(generator.init)(
        jax.random.key(0), generator.noise(KEYS, jnp.zeros((2, 4))), jnp.zeros((2, 4))
    )
    judging = jax.jit(learning.init_critics)(jax.random.key(1), codes, times, {"label": label})
    state = CodeState(
        judging, rate.init(judging), rate.init(params["params"][IMAGINATION]), codes, times, {"label": label}
    )
    play = jax.jit(learning.play)

    @jax.jit
    def shown(params):
        keys = jax.random.split(jax.random.key(5), count)
        asked = learning.ask(params, {"label": label}, {}).at(times)
        found = learning.imagine(params, generator.noise(keys, times), times, asked)
        gone = found.motion[:, -1, 0] - found.motion[:, 0, 0]
        return jnp.argmax(found.form.reshape(count, classes, 2).sum(-1), -1), (gone > 0).astype(int)

    for i in range(6):
        state, params, metrics = play(state, params, count, jax.random.key(i))
    for name, found in zip(("form", "side"), shown(params), strict=True):
        assert np.mean(found == label) > 0.9, (name, jax.device_get(metrics))


@pytest.mark.slow
def test_it_learns_to_follow_a_sound():
    """Codes alone: heights that wander, and of each clip a sound, in the band of its height at the time."""
    count, moments = 256, 8
    dims = dict(content_dim=2, form_dim=4, noise_dim=4, motion_dim=4, width=64, canvas=4, front_base=16)
    generator = GENERATORS["continuous"](16, **dims, back_base=16, conditions=("audio", "image"))
    condition = ConditionEncoder(("audio",))
    rate = optax.adam(5e-4, 0.0, 0.99)
    settings = dict(SETTINGS, noise=0.1, rounds=100, batch=64, memory=count, moments=moments)
    rates = dict(imagination_optimizer=rate, critic_optimizer=rate, known=True)
    judges = critics(64, 64, condition=condition, motion_penalty_weight=1.0)
    learning = CodeGame(generator, Reader(), judges, **settings, **rates)
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(count, 4, 1)) * np.cos(np.pi * np.arange(4)[:, None] * np.arange(98) / 97 * 2)
    height = 0.8 * np.tanh(waves.sum(1))  # of each hop of 10 ms
    sound = np.exp(-0.5 * np.square((height[..., None] - np.linspace(-1, 1, 64)) / 0.05)) * 4.0 - 4.0
    times = jnp.asarray(np.sort(rng.integers(0, 94, (count, moments)), 1), jnp.float32) / 100 + 0.02
    at = np.take_along_axis(height, np.round(np.asarray(times) * 100).astype(int) - 1, 1)
    still = np.zeros_like(at)
    codes = Codes(
        np.ones((count, 2)), np.ones((count, 1, 4)), np.stack([still, at, still, still + 1, still], -1)
    )
    codes, given = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (codes, {"audio": sound}))
    params = jax.jit(generator.init)(jax.random.key(0), generator.noise(KEYS, times[:2]), times[:2])
    judging = jax.jit(learning.init_critics)(jax.random.key(1), codes, times, given)
    imagination = rate.init(params["params"][IMAGINATION])
    state = CodeState(judging, rate.init(judging), imagination, codes, times, given)
    play = jax.jit(learning.play)

    @jax.jit
    def missed(params, given):
        keys = jax.random.split(jax.random.key(5), count)
        asked = learning.ask(params, given, {}).at(times)
        found = learning.imagine(params, generator.noise(keys, times), times, asked).motion[..., 1]
        return jnp.mean(jnp.abs(found - at))

    for i in range(5):
        state, params, metrics = play(state, params, count, jax.random.key(i))
    right, wrong = (missed(params, {"audio": x}) for x in (given["audio"], jnp.roll(given["audio"], 1, 0)))
    assert right < 0.25 * wrong, (right, wrong, jax.device_get(metrics))
