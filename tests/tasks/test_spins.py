"""What spins, and how fast: learned in dreams."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vgm_jax.models.encoders.scene import FASTEST, HARMONICS, STILL, TRIED, Reading
from vgm_jax.models.scene import POSE, Codes, spun
from vgm_jax.tasks.spins import DREAMT, FORM, dream

B, K, OBJECTS = 40, 3, 2
KEYS = jax.random.split(jax.random.key(4), B)
TIMES = jnp.asarray(np.sort(np.random.default_rng(0).uniform(0, 1, (B, K)), 1), jnp.float32)


def apart(motion):
    """The first object at the left, the other at the right, so that it is clear which is which."""
    return motion.at[..., 0].set(-3.0).at[..., POSE].set(3.0)


class Dreamer(nn.Module):
    """Frames of three pixels, of poses and what is shown; and what is read off them again."""

    def setup(self):
        self.painter, self.former, self.turner = nn.Dense(9), nn.Dense(2 * OBJECTS), nn.Dense(48)

    def paint(self, codes):
        shown = jnp.repeat(codes.form.reshape(len(codes.form), 1, -1), codes.motion.shape[1], 1)
        painted = self.painter(jnp.concatenate([shown, codes.motion], -1))
        return painted.reshape(*painted.shape[:2], 1, 3, 3)

    def look(self, frames, times):
        flat = frames.reshape(*times.shape, -1)
        form = self.former(flat.mean(1)).reshape(-1, OBJECTS, 2)
        codes = Codes(form[:, 0], form, apart(jnp.zeros((*times.shape, POSE * OBJECTS))))
        return Reading(codes, codes, self.turner(flat).reshape(*times.shape, OBJECTS, 2 * HARMONICS))

    def __call__(self, codes, times):
        return self.look(self.paint(codes), times)


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(5)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    still = Codes(draw(B, 2), draw(B, OBJECTS, 2), apart(draw(B, K, POSE * OBJECTS)))
    read = still._replace(motion=draw(B, K, POSE * OBJECTS))
    return Reading(read, still, draw(B, K, OBJECTS, 2 * HARMONICS))


@pytest.fixture(scope="module")
def params(found):
    return jax.jit(Dreamer().init)(jax.random.key(0), found.still, TIMES)


def loss(painting, reading, found):
    def paint(codes):
        return Dreamer().apply(painting, codes, method="paint")

    def look(frames, times):
        return Dreamer().apply(reading, frames, times, method="look")

    return dream(paint, look, found, TIMES, KEYS)


def test_dreaming_is_the_textbooks(params, found):
    """A cross-entropy of rates, clip by clip and object by object, in double precision; and of the form."""
    expected, stills, rows = 0.0, 0, range(0, B, DREAMT)
    step = 2 * FASTEST / (TRIED - 1)
    order = np.arange(1, HARMONICS + 1)

    @jax.jit
    def read(still, angle, times):  # painted spinning, and looked at
        painted = Dreamer().apply(params, still._replace(motion=spun(still.motion, angle)), method="paint")
        return Dreamer().apply(params, jnp.clip(painted, -1, 1), times, method="look")

    for b in rows:
        draw = np.asarray(jax.random.uniform(jax.random.fold_in(KEYS[b], 2), (2 * OBJECTS + 1,)), float)
        own = np.where(draw[:OBJECTS] < 0.5, FASTEST * (2 * draw[OBJECTS:-1] - 1), 0.0)
        times = np.asarray(TIMES[b], float)
        angle = np.asarray(2 * np.pi * times[:, None] * own, np.float32)
        one = jax.tree.map(lambda x, b=b: np.asarray(x)[b : b + 1], found.still)
        again = jax.device_get(read(one, angle[None], np.asarray(times[None], np.float32)))
        expected += FORM * np.mean((np.asarray(again.codes.form, float) - np.asarray(one.form)) ** 2)
        for o in range(OBJECTS):
            others = np.linspace(-FASTEST, FASTEST, TRIED) + (draw[-1] - 0.5) * step
            rates = [own[o], *others] if own[o] == 0 else [own[o], 0.0, *others]
            stills += own[o] == 0
            said = np.full(len(rates), 0.0)
            for j, rate in enumerate(rates):
                phase = 2 * np.pi * rate * times[:, None] * order
                waves = np.concatenate([np.cos(phase), np.sin(phase)], -1)
                said[j] = np.sum(np.asarray(again.turns[0, :, o], float) * waves) + STILL * (rate == 0)
            expected -= said[0] - scipy.special.logsumexp(said)
    assert 0 < stills < OBJECTS * len(rows), "some spin, some do not"
    value = jax.jit(loss)(params, params, found)
    assert float(value) == pytest.approx(expected / len(rows), rel=1e-4)


def test_objects_are_the_same_though_they_are_listed_in_another_order(params, found):
    def paint(codes):
        return Dreamer().apply(params, codes, method="paint")

    def look(frames, times, order=slice(None, None, -1)):
        seen = Dreamer().apply(params, frames, times, method="look")
        motion = seen.codes.motion.reshape(*times.shape, OBJECTS, POSE)[:, :, order]
        codes = seen.codes._replace(form=seen.codes.form[:, order], motion=motion.reshape(*times.shape, -1))
        return Reading(codes, codes, seen.turns[:, :, order])

    expected = float(jax.jit(loss)(params, params, found))
    again = jax.jit(lambda found: dream(paint, look, found, TIMES, KEYS))(found)
    assert float(again) == pytest.approx(expected, rel=1e-5)


def test_only_reading_is_learned_in_dreams(params, found):
    slopes = jax.jit(jax.grad(loss, (0, 1, 2)))(params, params, found)

    def largest(tree):
        return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))

    assert largest(slopes[0]) == 0.0 and largest(slopes[2]) == 0.0
    assert largest(slopes[1]["params"]["turner"]) > 1e-2 and largest(slopes[1]["params"]["former"]) > 1e-2


def test_of_nothing_that_shows_an_angle_standing_still_is_as_likely_as_spinning(found):
    """So that what is round, of which any rate is as likely, is best said not to show any."""

    def look(frames, times):
        del frames
        still = jax.tree.map(lambda x: x[::DREAMT], found.still)
        return Reading(still, still, jnp.zeros((*times.shape, OBJECTS, 2 * HARMONICS)))

    value = jax.jit(lambda: dream(lambda codes: codes.motion[..., None, None], look, found, TIMES, KEYS))()
    draw = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 2), (2 * OBJECTS + 1,)))
    draws = jax.jit(draw)(KEYS)
    spins = np.asarray(draws)[::DREAMT, :OBJECTS] < 0.5
    # At rest one of two; else one of what it could be, its own rate among them.
    expected = np.where(spins, np.log(2 * TRIED + 1), np.log(2)).mean(0).sum()
    assert float(value) == pytest.approx(expected, rel=1e-5)
