"""Kernel temporal segmentation against all segmentations there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.evaluation.segmentation import best_changes, change_points, costs, segments


def scatter(rows):
    return float(((rows - rows.mean(0)) ** 2).sum())


def test_costs_are_squared_distances_to_the_mean():
    rows = np.random.default_rng(0).normal(size=(7, 3))
    found = costs(rows @ rows.T)
    assert found.shape == (7, 8)
    for start, stop in itertools.product(range(7), range(8)):
        if stop > start:
            assert found[start, stop] == pytest.approx(scatter(rows[start:stop]), abs=1e-9)
        else:
            assert found[start, stop] == np.inf


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_the_best_of_all_segmentations(n, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 2))
    totals, changes = best_changes(costs(rows @ rows.T), 10)
    assert len(totals) == len(changes) == n  # no more changes than gaps
    for m in range(n):
        every = itertools.combinations(range(1, n), m)
        least = min(sum(map(scatter, np.split(rows, list(points)))) for points in every)
        assert totals[m] == pytest.approx(least, abs=1e-9)
        assert len(changes[m]) == m
        assert sum(map(scatter, np.split(rows, changes[m]))) == pytest.approx(least, abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**32 - 1), st.floats(0.0, 4.0))
def test_the_penalised_choice_is_the_best_of_all(n, seed, penalty):
    rows = np.random.default_rng(seed).normal(size=(n, 3))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def objective(points):
        m = len(points)
        paid = penalty * m * (np.log(n / m) + 1) / (2 * n) if m else 0.0
        return sum(map(scatter, np.split(unit, list(points)))) / n + paid

    every = [p for m in range(n // 2 + 1) for p in itertools.combinations(range(1, n), m)]
    found = change_points(rows, penalty=penalty)
    assert objective(found.tolist()) == pytest.approx(min(map(objective, every)), abs=1e-9)


def levels(lengths, noise=0.02):
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(8)[np.arange(len(lengths)) % 8], lengths, 0)
    return rows + rng.normal(0, noise, rows.shape)


def test_changes_are_found_and_none_is_made_up():
    assert change_points(levels([20, 15, 30])).tolist() == [20, 35]
    assert change_points(levels([60])).tolist() == []
    assert change_points(np.zeros((5, 3))).tolist() == []
    assert change_points(np.repeat([[0.0, 0], [1, 0]], 10, 0)).tolist() == [10]
    assert change_points(np.ones((1, 2))).tolist() == []


def test_a_stream_is_segmented_as_the_whole_and_covers_it():
    lengths = [13, 20, 9, 31, 24, 40, 17, 5, 26]
    rows = levels(lengths)
    ends = np.cumsum(lengths).tolist()
    found = list(segments(iter(rows), block=64))
    assert found == list(zip([0, *ends[:-1]], ends, strict=True))
    assert list(segments(iter(levels([300])), block=64))[0] == (0, 64), "a segment is no longer than a block"
    assert list(segments(iter([]))) == []


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(2, 40), st.integers(0, 1000))
def test_segments_follow_one_another(n, block, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 2))
    found = list(segments(iter(rows), block=block))
    assert [t for a, b in found for t in range(a, b)] == list(range(n))
    assert all(0 < b - a <= block for a, b in found)


def test_bad_input():
    with pytest.raises(ValueError, match="finite vectors"):
        change_points(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="finite vectors"):
        change_points(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="penalty=-1"):
        change_points(np.ones((2, 2)), penalty=-1)
