"""A generator that is asked for something: by what it is told of the motion, and by conditions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.encoders.condition import HEARD
from vgm_jax.models.generators import ContinuousGenerator
from vgm_jax.models.scene import POSE, Asked, Codes, Known

ASKED = ("text", "label", "audio", "image")
GENERATOR = ContinuousGenerator(
    16, content_dim=6, form_dim=5, noise_dim=8, motion_dim=4, width=16, canvas=4, front_base=64, back_base=32,
    window=1.0, objects=1, categories=(5,), conditions=ASKED, classes=3, words=7,
)  # fmt: skip
KEYS = jax.random.split(jax.random.key(1), 2)
TIMES = jnp.asarray(np.tile(np.linspace(0.0, 0.9, 7), (2, 1)), jnp.float32)
RNG = np.random.default_rng(0)
SHOWN = Codes(jnp.ones((2, 6)), jnp.ones((2, 1, 5)), jnp.zeros((2, 7, POSE)))


@pytest.fixture(scope="module")
def params(drawn):
    noise = jax.eval_shape(GENERATOR.noise, KEYS, TIMES)
    return drawn(jax.eval_shape(GENERATOR.init, jax.random.key(0), noise, TIMES))


@pytest.fixture(scope="module")
def move(params):
    @jax.jit
    def run(params, times, asked, known):
        through = times if known is None else jnp.concatenate([times, known.times], 1)
        noise = GENERATOR.noise(KEYS, through)
        return GENERATOR.apply(
            params, SHOWN.content, SHOWN.form, noise, times, asked, known, method="move"
        ).motion

    return partial(run, params)


def told(times, valid):
    turn = RNG.uniform(-3, 3, (2, len(times)))
    place = RNG.uniform(-0.8, 0.8, (2, len(times), 3))
    motion = np.concatenate([place, np.cos(turn)[..., None], np.sin(turn)[..., None]], -1)
    args = motion, np.tile(np.float32(times), (2, 1)), np.broadcast_to(valid, (2, len(times)))
    return Known(*map(jnp.asarray, args))


@pytest.mark.parametrize("places", [(0,), (3,), (0, 6), (5, 1)])
def test_motion_goes_through_what_is_known(move, places):
    known = told(np.asarray(TIMES)[0, list(places)], True)
    motion = move(TIMES, None, known)
    np.testing.assert_allclose(motion[:, list(places)], known.motion, atol=2e-3)
    others = [i for i in range(7) if i not in places]
    assert np.abs(motion[:, others] - move(TIMES, None, None)[:, others]).max() > 0.01, "elsewhere it bends"


def test_what_is_not_valid_is_not_known(move):
    one, two = told([0.3], True), told([0.3, 0.6], [True, False])
    two = two._replace(motion=two.motion.at[:, :1].set(one.motion))
    np.testing.assert_allclose(move(TIMES, None, two), move(TIMES, None, one), atol=1e-5)
    none = told([0.3], False)
    np.testing.assert_allclose(move(TIMES, None, none), move(TIMES, None, None), atol=1e-5)


def test_motion_stays_smooth_between_what_is_known(move):
    """Bent, not broken: a step is never longer than the free motion's and the bend's together."""
    times = jnp.asarray(np.tile(np.linspace(0, 0.99, 100), (2, 1)), jnp.float32)
    motion = np.asarray(move(times, None, told([0.0, 0.5], True)))
    assert np.abs(np.diff(motion[..., :2], axis=1)).max() < 0.12


def test_what_is_asked_for_changes_what_is_shown_and_how_it_moves(params):
    @jax.jit
    def imagine(params, asked):
        return GENERATOR.apply(params, GENERATOR.noise(KEYS, TIMES), TIMES, asked, method="imagine")

    @jax.jit
    def ask(params, text, label):
        given = {"text": text, "label": label}
        return Asked.always(GENERATOR.apply(params, given, method="ask").pooled, TIMES.shape[1])

    imagine, ask = partial(imagine, params), partial(ask, params)
    text, label = np.asarray([[2, 3], [2, 3]]), np.asarray([0, 1])
    first, other = imagine(ask(text, label)), imagine(ask(text[:, ::-1], label))
    for a, b in zip(first, other, strict=True):
        assert np.abs(a - b).max() > 1e-3
    nothing = imagine(ask(0 * text, label - 5))
    for a, b in zip(nothing, imagine(None), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_motion_follows_what_is_heard_at_once_and_what_jumps_is_let_go(params):
    """Of two windows whose sounds differ: at once in each; nothing jumps where they meet."""

    @jax.jit
    def run(params, times, heard):
        given = {"label": jnp.asarray([0, 1])}
        asked = Asked.always(GENERATOR.apply(params, given, method="ask").pooled, times.shape[1])
        noise = GENERATOR.noise(KEYS, times)
        shown = SHOWN.content, SHOWN.form
        return GENERATOR.apply(
            params, *shown, noise, times, asked._replace(heard=heard), method="move"
        ).motion

    def heard(times):
        """Two windows' sounds: what each has at its beginning, and how fast that changes."""
        first = RNG.normal(size=(2, 2, HEARD)).astype("f4"), 2 * RNG.normal(size=(2, 2, HEARD)).astype("f4")
        index = np.floor(times).astype(int)

        def at(i, part):
            return first[0][:, i] + part[..., None] * first[1][:, i]

        ends = at(np.maximum(index - 1, 0), np.ones_like(times)), at(index, np.zeros_like(times))
        return np.stack([*ends, at(index, times - index)], 2)

    times = np.arange(200, dtype=np.float32) / 100
    sound = heard(times)
    many = np.tile(times, (2, 1))
    run = partial(run, params)
    found, silent = run(many, sound), run(many, None)
    np.testing.assert_allclose(run(many, 0 * sound), silent, atol=1e-6)
    np.testing.assert_allclose(run(many[:, :100], sound[:, :100]), found[:, :100], atol=1e-5)
    steps = np.abs(np.diff(found[..., :2], axis=1)).max((0, 2))
    assert steps[99] < 2 * np.delete(steps, 99).max() and np.abs(found - silent).max() > 0.1
    # What jumps has been let go halfway through the window: what was heard before makes no difference then.
    other = sound.copy()
    other[:, 100:, 0] += 1.0
    changed = np.abs(run(many, other) - found).max((0, 2))
    assert changed[100] > 1e-3 and changed[151:].max() < 1e-5
