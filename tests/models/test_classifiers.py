import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.classifiers import ClipClassifier

SMALL = dict(classes=(3, 4, 5), frame_heads=2, track=True, side=16, entry=8, widths=(8, 8), hidden=8)


@pytest.fixture(scope="module")
def judge(drawn):
    """`judge(video) -> what it says`"""
    module, times = ClipClassifier(**SMALL), jnp.zeros((2, 6))
    params = drawn(jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((2, 6, 16, 16, 3)), times))
    apply = jax.jit(module.apply)
    return lambda video: apply(params, video, np.tile(np.arange(video.shape[1]) / 16.0, (len(video), 1)))


def noise(frames, size):
    return np.random.default_rng(1).uniform(-1, 1, (2, frames, size, size, 3)).astype(np.float32)


def test_shapes_of_what_it_says():
    def shaped(**changes):
        module, video = ClipClassifier(**SMALL | changes), jnp.zeros((2, 6, 16, 16, 3))
        return jax.eval_shape(module.init_with_output, jax.random.key(0), video, jnp.zeros((2, 6)))[0]

    found = shaped()
    assert [x.shape for x in found.logits] == [(2, 6, 3), (2, 6, 4), (2, 5)]
    assert found.track.shape == (2, 6, 3) and found.features.shape[0] == 2
    found = shaped(frame_heads=0, track=False)
    assert [x.ndim for x in found.logits] == [2, 2, 2] and found.track is None


def test_one_set_of_weights_for_any_length_and_size(judge):
    module = ClipClassifier(**SMALL)
    first, *others = (
        jax.eval_shape(
            module.init, jax.random.key(0), jnp.zeros((2, *shape, shape[1], 3)), jnp.zeros((2, shape[0]))
        )
        for shape in ((6, 16), (1, 16), (20, 40))
    )
    for other in others:
        assert jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, other)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(judge(noise(20, 40))))


def test_frames_are_judged_alone_and_clips_by_order(judge):
    video = noise(8, 16)
    found, back = judge(video), judge(video[:, ::-1])
    for one, other in ((found.logits[0], back.logits[0]), (found.track, back.track)):
        np.testing.assert_allclose(one, other[:, ::-1], rtol=1e-4, atol=1e-5)
    assert np.abs(found.logits[2] - back.logits[2]).max() > 1e-3
