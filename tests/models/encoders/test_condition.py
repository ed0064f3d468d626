from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.encoders.condition import EACH, MIDDLE, ConditionEncoder, heard_at

NAMES = "label", "text", "audio", "sentence"
ENCODER = ConditionEncoder(NAMES, classes=5, words=9, width=16, heads=2)
RNG = np.random.default_rng(0)
GIVEN = {
    "label": jnp.asarray([3, 0, 4]),
    "text": jnp.asarray([[2, 3, 4, 0], [5, 6, 0, 0], [8, 2, 7, 3]]),
    "audio": jnp.asarray(RNG.normal(size=(3, 98, 64)), jnp.float32),
    "sentence": jnp.asarray(RNG.normal(size=(3, 384)) / 384**0.5, jnp.float32),
}


@pytest.fixture(scope="module")
def apply():
    """`apply(given, present=None) -> Condition`"""
    params = jax.jit(ENCODER.init)(jax.random.key(0), ENCODER.example(1, 1.0))
    run = jax.jit(ENCODER.apply)
    return lambda given, present=None: jax.device_get(run(params, given, present))


@pytest.fixture(scope="module")
def encode(apply):
    """As `apply`, always told of all that is given whether it is present: fewer programs."""

    def call(given, present=None):
        return apply(given, {name: np.ones(3, bool) for name in given} | (present or {}))

    return call


def test_shapes_and_that_all_of_it_matters(apply, encode):
    found = encode(GIVEN)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), apply(GIVEN), found)
    assert found.pooled.shape == (3, 16) and found.tokens.shape == (3, 1 + 4 + 32 + 1, 16)
    assert found.valid.shape == found.tokens.shape[:2]
    others = {"label": [1, 1, 1], "text": [[2, 4, 3, 0]] * 3}
    others |= {name: GIVEN[name][::-1] for name in ("audio", "sentence")}
    for name, other in others.items():
        changed = encode(GIVEN | {name: jnp.asarray(other)})
        assert np.abs(changed.pooled - found.pooled).max(1).min() > 1e-3 or name in ("audio", "sentence")
        assert np.abs(changed.pooled[0] - found.pooled[0]).max() > 1e-3, name


@pytest.mark.parametrize("name", NAMES)
def test_what_a_clip_is_not_asked_for_by_says_nothing(encode, name):
    """Dropped, whatever it is, it is as if it were not given at all."""
    present = {name: jnp.asarray([False, True, True])}
    dropped, whole = encode(GIVEN, present), encode(GIVEN)
    noise = RNG.permutation(np.asarray(GIVEN[name])[0].ravel()).reshape(GIVEN[name][0].shape)
    other = GIVEN | {name: GIVEN[name].at[0].set(noise + (name == "label"))}
    np.testing.assert_allclose(dropped.pooled, encode(other, present).pooled, atol=1e-5)
    without = encode({k: x for k, x in GIVEN.items() if k != name})
    np.testing.assert_allclose(dropped.pooled[0], without.pooled[0], atol=1e-5)
    np.testing.assert_allclose(dropped.pooled[1:], whole.pooled[1:], atol=1e-5)


def test_where_nothing_is_asked_the_vector_is_zero(encode):
    nothing = {name: jnp.zeros(3, bool) for name in NAMES}
    assert not encode(GIVEN, nothing).pooled.any()
    empty = {"label": jnp.asarray([-1, -1, 2]), "text": jnp.zeros((3, 4), int)}
    empty["sentence"] = jnp.zeros((3, 384))
    found = encode(empty)
    assert not found.pooled[:2].any() and found.pooled[2].any()


def test_a_sound_is_heard_when_it_sounds(encode):
    found = encode(GIVEN, {"audio": jnp.asarray([True, False, True])})
    assert found.heard.shape == (3, 32, 16) and found.heard[::2].any((1, 2)).all()
    assert not found.heard[1].any() and encode({"label": GIVEN["label"]}).heard is None
    times = jnp.asarray([[MIDDLE + 7 * EACH, MIDDLE + 7.25 * EACH, 2.0 + MIDDLE + 7 * EACH, 0.0, 0.9999]] * 3)
    end, begin, now = jnp.moveaxis(found.at(times, 1.0).heard, 2, 0)
    np.testing.assert_allclose(now[:, 0], found.heard[:, 7], atol=1e-5)
    between = 0.75 * found.heard[:, 7] + 0.25 * found.heard[:, 8]
    np.testing.assert_allclose(now[:, 1], between, atol=1e-5)
    np.testing.assert_allclose(now[:, 2], now[:, 0], atol=1e-4)
    for i, (ends, at) in enumerate(((begin, 3), (end, 4))):
        np.testing.assert_allclose(now[:, at], found.heard[:, -i], atol=1e-5)
        np.testing.assert_allclose(ends, np.repeat(found.heard[:, -i, None], 5, 1), atol=1e-6)
    host = heard_at(np.asarray(found.heard), np.asarray(times))
    assert isinstance(host, np.ndarray)
    np.testing.assert_allclose(host[:, :2], now[:, :2], atol=1e-6)


def test_padding_says_nothing(encode):
    text = GIVEN["text"]
    longer = jnp.pad(text, ((0, 0), (0, 5)))
    np.testing.assert_allclose(encode({"text": text}).pooled, encode({"text": longer}).pooled, atol=1e-5)


def test_something_must_be_given():
    with pytest.raises(ValueError, match="nothing is given; expected some of label, text, audio, sentence"):
        ENCODER.init(jax.random.key(0), {})


def test_without_sound_and_sentences_parameters_are_as_they_were_before_there_were_any():
    """Those of models that were trained then, such as some that come with the package."""
    old = ConditionEncoder(NAMES[:2], classes=5, words=9, width=16, heads=2)
    params = jax.eval_shape(old.init, jax.random.key(0), old.example(1, 1.0))["params"]
    assert set(params) == set("classes words places sentence text pool".split())
    assert params["pool"]["Dense_0"]["Dense_0"]["kernel"].shape == (2 * (16 + 1), 16)
