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
    ModulatedConv,
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
def test_depth_to_space_inverts_space_to_depth(sizes):
    n, h, w, c, block = sizes
    x = np.arange(n * h * w * c * block**2).reshape(n, h * block, w * block, c)
    folded = space_to_depth(x, block)
    assert folded.shape == (n, h, w, block * block * c)
    assert np.array_equal(depth_to_space(folded, block), x)
    # A pixel's place within its block is its group of channels, row by row.
    for row, column in np.ndindex(block, block):
        group = slice((row * block + column) * c, (row * block + column + 1) * c)
        assert np.array_equal(folded[..., group], x[:, row::block, column::block])


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


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_modulated_convolution_is_stylegan2s(kernel, gain):
    """Weights of each example's own: w'_ijk = s_i w_ijk, w'' = w' / sqrt(sum_ik w'^2) (eq. 1-3)."""
    x, style = normal(3, 5, 4, 6), normal(3, 2, seed=1)
    layer = ModulatedConv(7, kernel, gain)
    params = jax.jit(layer.init)(jax.random.key(0), x, style)["params"]
    # Biases start at 0 and 1, where they would hide.
    params = jax.tree.map(lambda p: p + 0.3 * normal(*p.shape, seed=2), params)
    result = jax.jit(layer.apply)({"params": params}, x, style)

    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    affine = params["style"]["Dense_0"]
    expected = np.zeros((3, 5, 4, 7))
    for n in range(3):
        scale = style[n] @ affine["kernel"] + affine["bias"]
        weight = params["kernel"] * scale[None, None, :, None]
        weight = gain * weight / np.sqrt(np.sum(weight**2, (0, 1, 2)) + 1e-6)
        for i, j in np.ndindex(6, 7):
            expected[n, :, :, j] += correlate2d(x[n, :, :, i], weight[:, :, i, j], mode="same")
    np.testing.assert_allclose(result, expected + params["bias"], atol=2e-5)


def test_a_style_does_not_change_the_scale_of_what_comes_out():
    x = normal(64, 4, 4, 32)
    layer = ModulatedConv(32, 3)
    params = jax.jit(layer.init)(jax.random.key(0), x, np.ones((64, 4), np.float32))
    apply = jax.jit(layer.apply)
    small, large = (float(np.std(apply(params, x, np.full((64, 4), s, np.float32)))) for s in (0.1, 30.0))
    assert small == pytest.approx(large, rel=0.1) and 0.7 < small < 1.1


def test_a_1x1_convolution_is_a_matrix_product():
    x = normal(2, 3, 4, 5)
    params = Conv(6, 1).init(jax.random.key(0), x)
    dense = params["params"]["Dense_0"]
    np.testing.assert_allclose(Conv(6, 1).apply(params, x), x @ dense["kernel"] + dense["bias"], atol=1e-5)
    assert params["params"]["Dense_0"]["kernel"].shape == (5, 6)


def test_unit_variance():
    scaled = unit_variance(jnp.asarray(40.0 * normal(3, 8)))
    np.testing.assert_allclose(np.mean(np.square(scaled), -1), 1.0, rtol=1e-5)
    assert np.all(np.isfinite(unit_variance(jnp.zeros((1, 8)))))


def test_time_features_turn_at_their_periods():
    t = jnp.asarray([0.0, 0.25, 1.0])
    expected = [[0, 0, 1, 1], [1, np.sin(np.pi / 4), 0, np.cos(np.pi / 4)], [0, 0, 1, -1]]
    np.testing.assert_allclose(time_features(t, (1.0, 2.0)), expected, atol=1e-6)
