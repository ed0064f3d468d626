import jax
import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.evaluation import features
from vgm_jax.models.pretrained import NETWORKS, load_network


@pytest.fixture(scope="module")
def embed():
    return lambda video: features.embed("random", video)[:, 0]


@pytest.fixture(scope="module")
def clips():
    source = ShapeShow("test", size=16, frames=6, fps=6.0)
    return np.stack([source[i]["video"] for i in range(8)])


STORED = [0.25003982, 1.05465007, 0.87863868, 0.35074824, 0.19782668]


def gradient_clip():
    """A clip that needs no source: x + 2 y + 40 t + 80 c."""
    t, y, x, c = np.meshgrid(*[np.arange(n) for n in (3, 8, 8, 3)], indexing="ij")
    return (x + 2 * y + 40 * t + 80 * c).astype(np.uint8)[None]


def test_the_embedding_is_the_same_everywhere(embed):
    """Figures of different runs and versions are compared: these numbers must not change."""
    found = embed(gradient_clip())
    assert found.shape == (1, 96) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, [0, 1, 47, 48, 95]], STORED, rtol=1e-3)


def moved(before, after):
    """How far features move, in units of how far two clips are apart."""
    apart = np.linalg.norm(before - np.roll(before, 1, 0), axis=1).mean()
    return np.linalg.norm(after - before, axis=1).mean() / apart


def test_it_sees_time(embed, clips):
    features = embed(clips)
    changed = {
        "reversed": clips[:, ::-1],
        "frozen": np.repeat(clips[:, :1], 6, 1),
        "shuffled": clips[:, [3, 0, 5, 1, 4, 2]],
        "twice as fast": clips[:, [0, 2, 4, 0, 2, 4]],
    }
    for name, other in changed.items():
        assert moved(features, embed(other)) > 0.1, name


def test_it_sees_colour_and_place(embed, clips):
    features = embed(clips)
    assert moved(features, embed(clips[..., ::-1])) > 0.3
    grey = np.repeat(clips.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    assert moved(features, embed(grey)) > 0.3
    rng = np.random.default_rng(0)
    scattered = rng.permutation(clips.reshape(8, 6, 256, 3), axis=2).reshape(clips.shape)
    assert moved(features, embed(scattered)) > 0.3


def test_a_clip_does_not_depend_on_its_batch(embed, clips):
    np.testing.assert_allclose(embed(clips[3:5]), embed(clips)[3:5], rtol=1e-3, atol=1e-5)


def test_one_frame_is_a_clip(embed, clips):
    found = embed(clips[:, :1])
    assert found.shape == (8, 96) and np.isfinite(found).all()


def test_an_unknown_network():
    with pytest.raises(ValueError, match=f"'fid' .*is unknown; choose one of {', '.join(NETWORKS)}"):
        features.network("fid")


@pytest.mark.parametrize(
    "video",
    [
        np.zeros((2, 3, 8, 8, 3), np.float32),
        np.zeros((3, 8, 8, 3), np.uint8),
        np.zeros((2, 3, 8, 8, 1), np.uint8),
    ],
)
def test_what_is_no_clips_is_refused(video):
    with pytest.raises(ValueError, match="expected clips uint8"):
        features.embed("random", video)


def test_random_weights_are_the_same_whatever_draws_others():
    """Their hash says only of which seed they are."""
    with jax.default_prng_impl("rbg"):
        other = load_network("random")
    for a, b in zip(load_network("random").params, other.params, strict=True):
        np.testing.assert_array_equal(a, b)
