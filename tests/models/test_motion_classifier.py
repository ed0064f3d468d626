import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.classifiers import MotionClassifier

SMALL = dict(side=8, cells=4, moments=7, entry=8, widths=(8,), depths=(1,), window_features=8, hidden=8)
NETWORK = MotionClassifier(classes=(2, 5), **SMALL)
FRAMES = jax.random.uniform(jax.random.key(0), (3, 7, 8, 8, 3), minval=-1.0)


@pytest.fixture(scope="module")
def judge(drawn):
    params = drawn(jax.eval_shape(NETWORK.init, jax.random.key(1), FRAMES, jnp.zeros((3, 7))))
    apply = jax.jit(NETWORK.apply)
    return lambda frames: apply(params, frames, jnp.zeros(frames.shape[:2]))


def test_every_head_judges_whole_clips_each_alone(judge):
    found = judge(FRAMES)
    assert [x.shape for x in found.logits] == [(3, 2), (3, 5)] and found.track is None
    assert found.features.shape == (3, 16)
    alone = judge(FRAMES[1:2])
    np.testing.assert_allclose(alone.features[0], found.features[1], rtol=1e-4, atol=1e-5)


def test_order_and_speed_are_seen(judge):
    features = np.asarray(judge(FRAMES).features)
    for other in (FRAMES[:, ::-1], FRAMES.at[:, 3].set(FRAMES[:, 2])):
        assert np.abs(np.asarray(judge(other).features) - features).max(1).min() > 1e-3


def test_every_frame_counts(judge):
    change = jax.jit(jax.grad(lambda frames: sum(x.sum() for x in judge(frames).logits)))(FRAMES)
    assert np.abs(change).max((0, 2, 3, 4)).min() > 0


@pytest.mark.parametrize("shape", [(8, 16, 16), (3, 8, 8), (20, 12, 9)])
def test_other_sizes_and_lengths_are_resampled(judge, shape):
    frames = jax.random.uniform(jax.random.key(2), (2, *shape, 3))
    found = judge(frames)
    assert found.features.shape == (2, 16) and np.isfinite(found.features).all()


def test_a_larger_copy_looks_alike(judge):
    smooth = jax.image.resize(FRAMES[:, :, :2, :2], FRAMES.shape, "linear")
    larger = jax.image.resize(smooth, (3, 7, 32, 32, 3), "linear")
    near, apart = (np.asarray(judge(x).features) for x in (smooth, larger))
    assert np.abs(near - apart).max() < 0.2 * np.abs(near - np.roll(near, 1, 0)).max()


def test_what_it_cannot_do_is_an_error():
    with pytest.raises(ValueError, match="no track"):
        MotionClassifier(classes=(2,), track=True, **SMALL).init(jax.random.key(0), FRAMES, None)
    with pytest.raises(ValueError, match="leave out the last of 8"):
        MotionClassifier(classes=(2,), **SMALL | {"moments": 8}).init(jax.random.key(0), FRAMES, None)
