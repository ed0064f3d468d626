"""What an answerer sees of a clip, and of what it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.classifiers import ANSWERERS, Answerer
from vgm_jax.models.encoders import Trunk

KEY = jax.random.key(0)
SMALL = dict(width=8, heads=1, own=0, fused=1, side=8, entry=8, cell=8)
LAYERS = dict(answers=5, layers=1, heads=1)
ALL = {"video": np.ones((2, 3), bool), "audio": np.ones(2, bool)}  # present


def answerer(words=9, **changes):
    return Answerer(trunk=Trunk(modalities=("video", "audio"), **SMALL), words=words, **LAYERS | changes)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "video": jnp.asarray(rng.uniform(-1, 1, (2, 6, 8, 8, 3)), jnp.float32),
        "times": jnp.tile(jnp.arange(6) / 6.0, (2, 1)).astype(jnp.float32),
        "audio": jnp.asarray(rng.uniform(-0.3, 0.3, (2, 16_000)), jnp.float32),
        "text": jnp.asarray([[2, 3, 4, 0, 0], [2, 3, 4, 5, 6]], jnp.int32),
    }


@pytest.fixture(scope="module")
def trained(batch, drawn):
    module = answerer()
    return drawn(jax.eval_shape(module.init, KEY, batch)), jax.jit(module.apply)


@pytest.fixture(scope="module")
def laid_out(batch, drawn):
    """As `trained`, but with a layout; and a batch of two questions a clip."""
    module, asked = (
        answerer(layout=(2, 3)),
        batch | {"text": jnp.stack([batch["text"], batch["text"][::-1]], 1)},
    )
    return drawn(jax.eval_shape(module.init, KEY, asked)), jax.jit(module.apply), asked


def test_it_answers_by_words_places_and_sound(trained, batch):
    params, apply = trained
    found = apply(params, batch)
    assert found.logits.shape == (2, 5) and ANSWERERS["answerer"] is Answerer
    assert {name: t.shape[1] for name, t in found.times.items()} == {"video": 3, "audio": 12}
    changed = {
        "text": batch["text"].at[:, 1].set(7),
        "video": batch["video"].at[:, :, 6:, 6:].add(0.5),
        "audio": batch["audio"].at[:, 8000:].multiply(0.2),
    }
    for name, value in changed.items():
        other = apply(params, batch | {name: value}).logits
        assert np.abs(other - found.logits).max(1).min() > 1e-3, name


def test_padding_says_nothing(trained, batch):
    params, apply = trained
    longer = batch | {"text": jnp.pad(batch["text"], ((0, 0), (0, 3)))}
    np.testing.assert_allclose(
        apply(params, batch).logits, apply(params, longer).logits, rtol=1e-4, atol=1e-5
    )


def test_tokens_that_are_not_present_are_not_seen(trained, batch):
    """Whatever is in them: neither by the trunk, nor by words."""
    params, apply = trained
    present = {"video": np.array([[True, False, True]] * 2), "audio": np.arange(12)[None] < [[6], [6]]}
    hidden = batch | {
        "video": batch["video"].at[:, 2:4].set(0.9),
        "audio": batch["audio"].at[:, 8200:].set(0.3),
    }
    one, other = (apply(params, b, present).logits for b in (batch, hidden))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.abs(one - apply(params, batch).logits).max() > 1e-3
    nothing = {"video": np.zeros((2, 3), bool), "audio": np.zeros((2, 12), bool)}
    without = apply(params, hidden, nothing).logits
    np.testing.assert_allclose(without, apply(params, batch, nothing).logits, rtol=1e-5)
    gone = apply(params, {"text": batch["text"]}).logits
    np.testing.assert_allclose(without, gone, rtol=1e-4, atol=1e-5)


def test_several_questions_about_a_clip_are_answered_each_as_if_alone(trained, batch):
    params, apply = trained
    texts = jnp.stack([batch["text"], batch["text"][:, ::-1], jnp.full((2, 5), 7)], 1)
    together = apply(params, batch | {"text": texts}).logits
    assert together.shape == (2, 3, 5)
    for i in range(3):
        alone = apply(params, batch | {"text": texts[:, i]}).logits
        np.testing.assert_allclose(together[:, i], alone, rtol=1e-4, atol=1e-5)


def test_words_of_the_clip_are_evidence(trained, batch, drawn):
    _, apply = trained
    batch = batch | {"said": jnp.asarray([[2, 3, 4], [5, 6, 0]], jnp.int32)}
    params = drawn(jax.eval_shape(answerer().init, KEY, batch), seed=1)
    here = {"text": jnp.ones(2, bool)}
    found = apply(params, batch, here).logits
    other = apply(params, batch | {"said": batch["said"].at[:, 0].set(7)}, here).logits
    assert np.abs(other - found).max(1).min() > 1e-3
    longer = apply(params, batch | {"said": jnp.pad(batch["said"], ((0, 0), (0, 2)))}).logits
    np.testing.assert_allclose(longer, found, rtol=1e-4, atol=1e-5)
    unsaid = batch | {"said": jnp.zeros((2, 3), jnp.int32)}
    first = apply(params, batch, {"text": jnp.asarray([False, True])}).logits
    np.testing.assert_allclose(first[0], apply(params, unsaid, here).logits[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first[1], found[1], rtol=1e-4, atol=1e-5)


def test_a_vocabulary_without_a_size_is_no_use(batch):
    with pytest.raises(ValueError, match="size of its questions' vocabulary"):
        jax.eval_shape(answerer(words=0).init, KEY, batch)


def test_a_layout_is_said_of_each_place_and_words_see_it(laid_out):
    params, apply, asked = laid_out
    found = apply(params, asked, ALL)
    assert found.layout.shape == (2, 3, 1, 1, 3 + 4 + 2)
    blind = {name: value for name, value in asked.items() if name != "video"}
    assert jax.eval_shape(apply, params, blind).layout is None
    said = jax.tree.map(lambda x: 2 * x + 1, params["params"]["layout"])  # the places stay as they are
    other = {"params": params["params"] | {"layout": said}}
    assert np.abs(apply(other, asked, ALL).logits - found.logits).max() > 1e-3


def test_things_are_of_what_is_present(laid_out):
    """Frames that are not present change nothing, whatever is asked and however much; one frame is enough."""
    params, apply, asked = laid_out
    present = ALL | {"video": np.array([[False, True, True], [True, True, True]])}
    found = apply(params, asked, present)
    assert found.logits.shape == (2, 2, 5)
    other = asked | {"video": asked["video"].at[0, :2].multiply(-1)}  # the first tubelet
    assert np.abs(apply(params, other, ALL).logits - apply(params, asked, ALL).logits)[0].max() > 1e-3
    np.testing.assert_allclose(apply(params, other, present).logits, found.logits, atol=1e-5)
    one = asked | {"video": asked["video"][:, :1], "times": asked["times"][:, :1]}
    assert jax.eval_shape(apply, params, one).layout.shape == (2, 1, 1, 1, 9)
    odd = asked | {"video": asked["video"][:, :5], "times": asked["times"][:, :5]}
    assert jax.eval_shape(apply, params, odd).layout.shape[1] == 3
    half = answerer(layout=(2, 3), dtype=jnp.bfloat16)
    assert np.isfinite(jax.jit(half.apply)(params, asked).logits).all()
