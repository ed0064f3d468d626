"""TransNet V2 against the outputs of the PyTorch original, and what its features see."""

import functools
import hashlib
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.pretrained import load_network, transnet

REFERENCE = Path(__file__).with_name("transnet_reference.npz")
TOLERANCE = 1e-3


def clips(n, frames, height, width, cut):
    """As in experiments/pretrained_weights/convert.py, which made the reference."""
    rng = np.random.RandomState(0)
    blocks = rng.randint(0, 256, (2, n, height // 4 + frames, width // 4 + frames, 3)).astype(np.uint8)
    pictures = blocks.repeat(5, 2).repeat(5, 3)
    video = [pictures[int(t >= cut), :, t : t + height, 2 * t : 2 * t + width] for t in range(frames)]
    return np.stack(video, 1)


@functools.cache
def network():
    return load_network("transnet")


@functools.cache
def compiled():
    return jax.jit(network().embed)


def embed(video):
    return np.asarray(compiled()(network().params, video.astype(np.float32) / 127.5 - 1))


@pytest.fixture(scope="module")
def video():
    return clips(2, 16, 64, 64, cut=9)


@pytest.fixture(scope="module")
def rows(video):
    return embed(video)


def test_features_are_the_originals(rows):
    np.testing.assert_allclose(rows, np.load(REFERENCE)["features"], rtol=0, atol=TOLERANCE)


def test_logits_are_the_originals_and_find_the_cut():
    frames = clips(1, 110, *transnet.SIZE, cut=70)
    variables = {"params": network().params}
    cut, transition = jax.jit(transnet.TransNet().apply)(variables, frames.astype(np.float32))
    reference = np.load(REFERENCE)
    np.testing.assert_allclose(cut, reference["cut"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(transition, reference["transition"], rtol=0, atol=TOLERANCE)
    assert int(cut[0].argmax()) in (69, 70)


def test_a_clip_is_one_row(rows):
    assert rows.shape == (2, 1, 256) and rows.dtype == np.float32
    assert jax.eval_shape(network().embed, network().params, jnp.zeros((3, 7, 50, 30, 3))).shape == (
        3,
        1,
        256,
    )


def test_a_clip_does_not_see_its_neighbours(video, rows):
    others = embed(np.stack([video[1], 255 - video[1], video[1]]))
    np.testing.assert_allclose(others[[0, 2]], rows[[1, 1]], atol=1e-5)


def test_the_shortest_clip_has_features_and_order():
    least = network().min_frames
    frames = clips(1, least, 64, 64, cut=1)
    run = jax.jit(network().embed)
    forwards, backwards = (
        run(network().params, v / np.float32(127.5) - 1) for v in (frames, frames[:, ::-1])
    )
    assert np.isfinite(forwards).all() and np.abs(forwards - backwards).max() > 1e-3


def test_it_sees_the_order_of_frames(video, rows):
    shuffled = video[:, np.random.RandomState(1).permutation(16)]
    assert np.linalg.norm(embed(shuffled) - rows) > 0.05 * np.linalg.norm(rows)


def test_weights_and_settings_pin_it_down():
    file = resources.files("vgm_jax.models.pretrained") / "weights" / "transnet.safetensors"
    assert network().weights == hashlib.sha256(file.read_bytes()).hexdigest()
    assert network().name == "transnet" and "27x48" in network().settings["resize"]
    module = jax.eval_shape(transnet.TransNet().init, jax.random.key(0), jnp.zeros((1, 2, *transnet.SIZE, 3)))
    shapes = jax.tree.map(jnp.shape, module["params"])
    assert jax.tree.map(jnp.shape, network().params) == shapes
    assert sum(x.size for x in jax.tree.leaves(network().params)) > 7.5e6
