import numpy as np
import pytest

from vgm_jax.evaluation import kernel


def rows(n, seed, shift=0.0, features=5):
    return np.random.default_rng(seed).normal(size=(n, features)) + shift


def test_the_discrepancy_is_that_of_every_pair():
    a, b = rows(7, 0), rows(9, 1, 0.3)

    def k(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / 5 + 1) ** 3

    expected = sum(k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / (7 * 6)
    expected += sum(k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / (9 * 8)
    expected -= 2 * sum(k(x, y) for x in a for y in b) / (7 * 9)
    assert kernel.squared_discrepancy(a, b) == pytest.approx(expected, rel=1e-12)
    assert kernel.squared_discrepancy(b, a) == pytest.approx(expected, rel=1e-12)


def test_it_is_unbiased_and_sees_a_shift():
    """Of one distribution: as often below zero as above, and zero on average, at 3 standard errors."""
    same = [kernel.squared_discrepancy(rows(30, 2 * s), rows(30, 2 * s + 1)) for s in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 300**0.5
    assert min(same) < 0
    assert kernel.squared_discrepancy(rows(300, 0), rows(300, 1, 0.5)) > 3 * np.std(same)


def test_one_feature_in_closed_form():
    """x constant c against y constant d: k(c, c) + k(d, d) - 2 k(c, d)."""
    c, d = np.full((3, 1), 0.5), np.full((4, 1), -1.0)
    assert kernel.squared_discrepancy(c, d) == pytest.approx(1.25**3 + 2.0**3 - 2 * 0.5**3)


def test_subsets_are_of_one_seed_and_spread_around_the_whole():
    a, b = rows(400, 0), rows(500, 1, 0.4)
    mean, spread = kernel.distance(a, b, subsets=40, size=100)
    assert (mean, spread) == kernel.distance(a, b, subsets=40, size=100)
    assert (mean, spread) != kernel.distance(a, b, subsets=40, size=100, seed=1)
    assert abs(mean - kernel.squared_discrepancy(a, b)) < 4 * spread / 40**0.5
    assert kernel.distance(a, b, subsets=5, size=1000)[1] > 0, "subsets of small sets differ too"


@pytest.mark.parametrize(
    "a, b",
    [(rows(1, 0), rows(4, 0)), (rows(4, 0), rows(4, 0, features=3)), (np.full((4, 5), np.nan), rows(4, 0))],
)
def test_bad_features_are_refused(a, b):
    with pytest.raises(ValueError, match="expected"):
        kernel.squared_discrepancy(a, b)
