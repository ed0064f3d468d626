import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.evaluation import features
from vgm_jax.models.pretrained import load_network

NAMES = ("arrow-shapeshow", "arrow-coinrun")
STORED = {
    "arrow-shapeshow": [0.753227, -0.355518, -0.335716, -0.236895, -0.025622],
    "arrow-coinrun": [0.031912, 0.130900, 0.897869, -0.274843, -0.035623],
}


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_the_features_as_they_were(name):
    network = load_network(name)
    assert network.name == name and len(network.weights) == 64
    t, y, x, c = np.meshgrid(*[np.arange(n) for n in (16, 16, 16, 3)], indexing="ij")
    found = features.embed(name, (x + 2 * y + 8 * t + 60 * c).astype(np.uint8)[None])
    assert found.shape == (1, 1, 192) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, 0, [0, 50, 100, 150, 191]], STORED[name], rtol=1e-3, atol=1e-4)


def test_a_fall_is_told_from_its_reversal():
    """What the network was trained for, on the motions that have a direction by any account."""
    source = ShapeShow("test")
    named = [(source[i]["video"], source.class_names()[source[i]["label"]]) for i in range(120)]
    clips = np.stack([video for video, motion in named if motion in ("fall", "launch")])
    head = load_network("arrow-shapeshow").params["params"]["head0"]["Dense_0"]
    forwards, backwards = (
        features.embed("arrow-shapeshow", x)[:, 0] @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        for x in (clips, np.ascontiguousarray(clips[:, ::-1]))
    )
    right = np.concatenate([forwards[:, 0] > forwards[:, 1], backwards[:, 1] > backwards[:, 0]])
    assert len(clips) > 10 and right.mean() > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_clips_that_are_too_short_are_refused(name):
    with pytest.raises(ValueError, match="4 frames or more"):
        features.embed(name, np.zeros((1, 3, 8, 8, 3), np.uint8))
