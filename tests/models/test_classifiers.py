import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.classifiers import ClipClassifier

SMALL = dict(classes=(3, 4, 5), frame_heads=2, track=True, side=16, entry=8, widths=(8, 8), hidden=8)


def judged(module, frames=6, size=16, clips=2):
    video = jax.random.uniform(jax.random.key(1), (clips, frames, size, size, 3), minval=-1, maxval=1)
    times = jnp.tile(jnp.arange(frames) / 16.0, (clips, 1))
    found, params = jax.jit(module.init_with_output)(jax.random.key(0), video, times)
    return found, params, video, times


def test_shapes_of_what_it_says():
    def shaped(**changes):
        module, video = ClipClassifier(**SMALL | changes), jnp.zeros((2, 6, 16, 16, 3))
        return jax.eval_shape(module.init_with_output, jax.random.key(0), video, jnp.zeros((2, 6)))[0]

    found = shaped()
    assert [x.shape for x in found.logits] == [(2, 6, 3), (2, 6, 4), (2, 5)]
    assert found.track.shape == (2, 6, 3) and found.features.shape[0] == 2
    found = shaped(frame_heads=0, track=False)
    assert [x.ndim for x in found.logits] == [2, 2, 2] and found.track is None


def test_one_set_of_weights_for_any_length_and_size():
    module = ClipClassifier(**SMALL)
    first, *others = (
        jax.eval_shape(
            module.init, jax.random.key(0), jnp.zeros((2, *shape, shape[1], 3)), jnp.zeros((2, shape[0]))
        )
        for shape in ((6, 16), (1, 16), (20, 40))
    )
    for other in others:
        assert jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, other)
    found, *_ = judged(module, 20, 40)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_frames_are_judged_alone_and_clips_by_order():
    module = ClipClassifier(**SMALL)
    found, params, video, times = judged(module, 8)
    back = jax.jit(module.apply)(params, video[:, ::-1], times)
    for one, other in ((found.logits[0], back.logits[0]), (found.track, back.track)):
        np.testing.assert_allclose(one, other[:, ::-1], rtol=1e-4, atol=1e-5)
    assert np.abs(found.logits[2] - back.logits[2]).max() > 1e-3
