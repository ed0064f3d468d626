import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.signal import correlate2d

from vgm_jax.models.layers import (
    Conv,
    convolve,
    depth_to_space,
    enlarge,
    space_to_depth,
    time_features,
    unit_variance,
)

blocks = st.tuples(st.integers(1, 2), *[st.integers(1, 3)] * 3, st.integers(1, 4))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(blocks)
def test_space_to_depth_keeps_every_pixel(sizes):
    n, h, w, c, block = sizes
    x = np.arange(n * h * w * c * block**2).reshape(n, h * block, w * block, c)
    folded = space_to_depth(x, block)
    assert folded.shape == (n, h, w, block * block * c)
    # A pixel's place within its block is its group of channels, row by row.
    for row, column in np.ndindex(block, block):
        group = slice((row * block + column) * c, (row * block + column + 1) * c)
        assert np.array_equal(folded[..., group], x[:, row::block, column::block])
    assert np.array_equal(depth_to_space(folded, block), x)


def test_what_does_not_divide_into_blocks():
    with pytest.raises(ValueError, match="pictures of 28 x 30 cannot be laid out in blocks of 8 x 8"):
        space_to_depth(normal(1, 28, 30, 3), 8)


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (5, 4)])
def test_enlarge_is_bilinear_interpolation(height, width):
    x = normal(2, height, width, 3)
    rows = (np.arange(2 * height) + 0.5) / 2 - 0.5  # centres of the new pixels in the old ones
    columns = (np.arange(2 * width) + 0.5) / 2 - 0.5
    places = np.meshgrid(rows, columns, indexing="ij")
    result = np.asarray(jax.jit(enlarge)(x))
    assert result.shape == (2, 2 * height, 2 * width, 3)
    for n, c in np.ndindex(2, 3):
        expected = map_coordinates(x[n, :, :, c].astype(np.float64), places, order=1, mode="nearest")
        np.testing.assert_allclose(result[n, :, :, c], expected, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_is_scipys(size):
    x, kernel = normal(2, 4, 6, 3), normal(size, size, 3, 5, seed=1)
    result = jax.jit(convolve)(x, kernel)
    expected = np.zeros((2, 4, 6, 5))
    for n, i, j in np.ndindex(2, 3, 5):
        expected[n, ..., j] += correlate2d(x[n, ..., i], kernel[..., i, j], mode="same")
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_convolution_is_the_same_on_every_platform(monkeypatch):
    x, kernel = normal(2, 4, 6, 3), normal(3, 3, 3, 5, seed=1)
    pull = normal(2, 4, 6, 5, seed=2)
    here, back = jax.vjp(convolve, x, kernel)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there, back_there = jax.vjp(convolve, x, kernel)
    np.testing.assert_allclose(here, there, atol=1e-4)
    for ours, theirs in zip(back(pull), back_there(pull), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_convolution_has_a_bias_or_not():
    x = normal(2, 3, 4, 5)
    params = jax.jit(Conv(6).init)(jax.random.key(0), x)["params"]
    params["bias"] = params["bias"] + 2.0
    expected = convolve(x, params["kernel"])
    np.testing.assert_allclose(Conv(6).apply({"params": params}, x), expected + 2.0, atol=1e-5)
    without = Conv(6, use_bias=False)
    np.testing.assert_allclose(
        without.apply({"params": {"kernel": params["kernel"]}}, x), expected, atol=1e-5
    )


def test_unit_variance():
    scaled = unit_variance(jnp.asarray(40.0 * normal(3, 8)))
    np.testing.assert_allclose(np.mean(np.square(scaled), -1), 1.0, rtol=1e-5)
    assert np.all(np.isfinite(unit_variance(jnp.zeros((1, 8)))))


def test_time_features_turn_at_their_periods():
    t = jnp.asarray([0.0, 0.25, 1.0])
    expected = [[0, 0, 1, 1], [1, np.sin(np.pi / 4), 0, np.cos(np.pi / 4)], [0, 0, 1, -1]]
    np.testing.assert_allclose(time_features(t, (1.0, 2.0)), expected, atol=1e-6)
