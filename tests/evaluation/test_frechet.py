import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from vgm_jax.evaluation.frechet import Moments, distance


def features(count, width, seed=0, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return shift + scale * rng.normal(size=(count, width)) @ rng.normal(size=(width, width))


def of(*sets):
    moments = Moments()
    for rows in sets:
        moments = moments.add(rows)
    return moments


def reference(a, b):
    """The formula as it is printed, with SciPy's matrix root and NumPy's covariance."""
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(c @ d))
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(c + d - 2 * root)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [2, 7, 24])
def test_the_printed_formula(seed, width):
    a = features(60, width, seed)
    b = features(80, width, seed + 100, scale=1.5, shift=0.3)
    assert distance(of(a), of(b)) == pytest.approx(reference(a, b), rel=1e-6)
    assert distance(of(a), of(b)) == pytest.approx(distance(of(b), of(a)), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-5, 5)] * 2, *[st.floats(0.1, 5)] * 2), min_size=1, max_size=4))
def test_diagonal_gaussians_in_closed_form(dimensions):
    """sum (m - n)^2 + (s - t)^2."""
    m, n, s, t = np.array(dimensions).T
    a, b = (Moments(11, mean, 10 * np.diag(sigma**2)) for mean, sigma in ((m, s), (n, t)))
    expected = np.sum((m - n) ** 2 + (s - t) ** 2)
    assert distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.floats(-1e3, 1e3))
def test_batches_give_what_all_rows_at_once_give(sizes, shift):
    rows = features(sum(sizes), 3, shift=shift)
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    added, merged, whole = of(*parts), Moments(), of(rows)
    for part in parts:
        merged = merged.merge(of(part))
    for moments in (added, merged):
        assert moments.count == whole.count == len(rows)
        np.testing.assert_allclose(moments.mean, whole.mean, atol=1e-9)
        np.testing.assert_allclose(moments.scatter, whole.scatter, atol=1e-6)
    if len(rows) > 1:
        np.testing.assert_allclose(added.covariance, np.cov(rows, rowvar=False), atol=1e-6)


def test_moments_far_from_zero_keep_their_digits():
    rows = features(1000, 2)
    far = of(*np.split(rows + 1e7, 10))
    np.testing.assert_allclose(far.covariance, np.cov(rows, rowvar=False), rtol=1e-6)


def test_identical_sets_are_at_zero():
    rows = features(30, 40)  # fewer rows than dimensions: singular
    assert 0 <= distance(of(rows), of(rows[::-1])) < 1e-5
    assert distance(of(rows), of(rows + 1.0)) == pytest.approx(40.0, rel=1e-6)


def test_float32_features_are_summed_in_float64():
    assert of(np.ones((3, 2), np.float32)).scatter.dtype == np.float64


@pytest.mark.parametrize("rows", [np.full((2, 3), np.nan), np.full((2, 3), np.inf), np.zeros(3)])
def test_features_must_be_rows_of_numbers(rows):
    with pytest.raises(ValueError, match=r"finite features \[N F\]"):
        Moments().add(rows)


@pytest.mark.parametrize("a, b", [(0, 5), (1, 5), (5, 1)])
def test_two_rows_at_least(a, b):
    with pytest.raises(ValueError, match=f"two rows on each side, got {a} and {b}"):
        distance(of(features(a, 2)), of(features(b, 2)))
