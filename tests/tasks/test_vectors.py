"""Vectors of windows: by networks side by side, of sound, by a trunk."""

import json

import jax
import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.transforms import to_float
from vgm_jax.evaluation import features
from vgm_jax.models.encoders import Trunk
from vgm_jax.tasks import build
from vgm_jax.tasks.vectors import BATCH, SAID, Vectors


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    video = rng.integers(0, 255, (BATCH + 3, 4, 16, 16, 3), np.uint8)
    audio = rng.uniform(-0.5, 0.5, (BATCH + 3, 8000)).astype(np.float32)
    return {"video": video, "audio": audio}


def test_networks_side_by_side_and_sound(windows):
    vectors = Vectors("random, sound", 4, build)
    found = vectors.of_windows(windows, 8.0)
    assert found.shape == (BATCH + 3, vectors.size) and vectors.modalities == ("video", "audio")
    picture, sound = found[:, :-128], found[:, -128:]
    np.testing.assert_allclose(np.square(picture).mean(1), 1.0, rtol=1e-4)
    direct = features.embed("random", windows["video"][:2]).mean(1)
    direct /= np.sqrt(np.square(direct).mean(1, keepdims=True))
    np.testing.assert_allclose(picture[:2], direct, rtol=1e-3, atol=1e-4)
    assert (sound[:, 64:] >= sound[:, :64]).all(), "maxima, and means"
    quiet = vectors.of_windows(windows | {"audio": 0.01 * windows["audio"]}, 8.0)[:, -128:]
    assert quiet.mean() < sound.mean() - 0.5
    silent = vectors.of_windows({"video": windows["video"]}, 8.0)
    assert silent.shape == found.shape and silent[:, -1].max() < quiet[:, -1].min()
    assert set(vectors.description) == {"order", "random", "sound"}
    other = Vectors("sound,random", 4, build)
    np.testing.assert_array_equal(other.of_windows(windows, 8.0)[:, 128:], picture)
    assert json.dumps(other.description, sort_keys=True) != json.dumps(vectors.description, sort_keys=True)


def test_words_that_are_said(windows):
    vectors = Vectors("random,words", 4, build)
    said = ["a red star", "A star, red!", "the brightest of all", ""] + [""] * (BATCH - 1)
    found = vectors.of_windows({"video": windows["video"], "said": said}, 8.0)
    assert found.shape == (BATCH + 3, vectors.size) and vectors.modalities == ("video", "text")
    words = found[:, -SAID:]
    np.testing.assert_array_equal(words[0], words[1])
    np.testing.assert_allclose(np.square(words[:3]).mean(1), 1.0, rtol=1e-4)
    assert np.abs(words[0] - words[2]).max() > 0.5 and not words[3:].any()
    nothing = vectors.of_windows({"video": windows["video"]}, 8.0)
    assert not nothing[:, -SAID:].any()
    np.testing.assert_array_equal(nothing[:, :-SAID], found[:, :-SAID])
    assert vectors.description["words"] == {"size": SAID}


def test_how_many_numbers_may_first_be_asked_for_while_something_is_traced():
    """As a summarizer's `init` does when a run is opened for use."""
    vectors = Vectors("track,random,sound", 4, build)
    traced = jax.eval_shape(lambda: jax.numpy.zeros(vectors.size))
    assert traced.shape == (vectors.size,)
    video = np.zeros((1, 4, 32, 32, 3), np.uint8)
    assert vectors.of_windows({"video": video}, 8.0).shape == (1, vectors.size)


def test_a_trunks_pooled_vectors(windows, tmp_path):
    vectors = Vectors(str(tmp_path), 4, build)
    trunk = Trunk(width=8, heads=1, own=1, fused=1, side=8, entry=8, cell=8)
    times = np.tile(np.arange(4, dtype=np.float32) / 8, (2, 1))
    batch = {"video": to_float(windows["video"][:2]), "times": times, "audio": windows["audio"][:2]}
    params = jax.jit(trunk.init)(jax.random.key(0), batch)["params"]
    vectors.__dict__["_trunk"] = trunk, params
    found = vectors.of_windows(windows, 8.0)
    assert found.shape == (BATCH + 3, 8) and vectors.modalities == ("video", "audio")
    pooled = jax.jit(trunk.apply)({"params": params}, batch).pooled
    np.testing.assert_allclose(found[:2], pooled, atol=1e-5)
    other = Vectors(str(tmp_path), 4, build)
    other.__dict__["_trunk"] = trunk, jax.tree.map(lambda x: np.asarray(x) + 1, params)
    assert other.description != vectors.description == vectors.description


def test_neither_networks_nor_a_workdir():
    with pytest.raises(ValueError, match="model.features='random,nothing' is neither a workdir nor"):
        Vectors("random,nothing", 4, build)
    with pytest.raises(ValueError, match="model.window=0 must be positive"):
        Vectors("random", 0, build)


def test_a_track_follows_shapeshows_object():
    item = ShapeShow("test", frames=16, track=True)[3]
    vectors = Vectors("track", 4, build)
    windows = {"video": item["video"].reshape(4, 4, 32, 32, 3)}
    found = vectors.of_windows(windows, 16.0)
    track = item["track"].reshape(4, 4, 3)
    np.testing.assert_allclose(found[:, :3] / 4 + 0.5, track.mean(1), atol=0.03)
    moved = found[:, 3:].reshape(4, 4, 3) / [20, 20, 80]
    np.testing.assert_allclose(moved, track - track.mean(1, keepdims=True), atol=0.02)
    assert found.shape == (4, vectors.size) and set(vectors.description) == {"order", "track"}
