"""EfficientNet-lite0 against the outputs of the PyTorch original, and what its features see."""

import functools
import hashlib
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.pretrained import efficientnet, load_network

REFERENCE = Path(__file__).with_name("efficientnet_reference.npz")
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
    return load_network("efficientnet")


@functools.cache
def compiled():
    """As tests compile other programs it would run five times as long."""
    options = {"xla_backend_optimization_level": 2, "xla_llvm_disable_expensive_passes": False}
    return jax.jit(network().embed, compiler_options=options)


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


def test_every_fourth_frame_is_a_row(video, rows):
    assert rows.shape == (2, 4, 1280) and rows.dtype == np.float32
    for frames, expected in ((1, 1), (4, 1), (5, 2), (16, 4)):
        shape = jax.eval_shape(network().embed, network().params, jnp.zeros((3, frames, 50, 30, 3))).shape
        assert shape == (3, expected, 1280)
    unseen = video.copy()
    unseen[:, np.arange(16) % 4 != 0] = 0
    np.testing.assert_array_equal(embed(unseen), rows)


def test_a_frame_does_not_see_its_neighbours(video, rows):
    others = 255 - video
    others[1, 8] = video[0, 4]
    np.testing.assert_allclose(embed(others)[1, 2], rows[0, 1], atol=1e-4)


def test_the_order_of_frames_is_the_order_of_rows(video, rows):
    np.testing.assert_allclose(embed(video[:, np.r_[12:16, 8:12, 4:8, 0:4]])[:, ::-1], rows, atol=1e-4)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_both_depthwise_convolutions_agree(size, k, stride):
    rng = np.random.RandomState(0)
    x = rng.standard_normal((2, size, size + 1, 8)).astype(np.float32)
    kernel = rng.standard_normal((k, k, 8)).astype(np.float32)
    ways = efficientnet.depthwise_by_shifts, efficientnet.depthwise_by_convolution
    shifts, convolution = (jax.jit(way, static_argnums=2)(x, kernel, stride) for way in ways)
    np.testing.assert_allclose(shifts, convolution, atol=1e-5, rtol=1e-5)


def test_weights_and_settings_pin_it_down():
    file = resources.files("vgm_jax.models.pretrained") / "weights" / "efficientnet.safetensors"
    assert network().weights == hashlib.sha256(file.read_bytes()).hexdigest()
    assert network().name == "efficientnet" and "112x112" in network().settings["resize"]
    size = efficientnet.SIZE
    module = jax.eval_shape(
        efficientnet.EfficientNet().init, jax.random.key(0), jnp.zeros((1, size, size, 3))
    )
    assert jax.tree.map(jnp.shape, network().params) == jax.tree.map(jnp.shape, module["params"])
