"""The protocol of TVSum and SumMe against brute force, SciPy and figures worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vgm_jax.evaluation.summaries import (
    anchors,
    f_scores,
    frame_scores,
    frames_of,
    human,
    judge,
    kendall,
    knapsack,
    spearman,
    summarize,
)

items = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 9)), min_size=0, max_size=8)


@settings(deadline=None)
@given(items, st.integers(-1, 45))
def test_a_knapsack_holds_the_best_there_is(pairs, capacity):
    values, weights = (np.array([p[i] for p in pairs], t) for i, t in ((0, float), (1, int)))
    chosen = knapsack(values, weights, capacity)
    assert chosen.dtype == bool and weights[chosen].sum() <= max(capacity, 0)
    every = (np.array(c, bool) for c in itertools.product((0, 1), repeat=len(pairs)))
    best = max(values[c].sum() for c in every if weights[c].sum() <= max(capacity, 0))
    assert values[chosen].sum() == pytest.approx(best)


@settings(deadline=None)
@given(items, st.integers(0, 45), st.floats(0.1, 10))
def test_laws_of_a_knapsack(pairs, capacity, scale):
    values, weights = (np.array([p[i] for p in pairs], t) for i, t in ((0, float), (1, int)))
    worth = values[knapsack(values, weights, capacity)].sum()
    assert values[knapsack(values, weights, capacity + 1)].sum() >= worth - 1e-9  # more room, no less worth
    scaled = values[knapsack(scale * values, weights, capacity)].sum()
    assert scaled == pytest.approx(worth)
    assert knapsack(values + 1.0, weights, int(weights.sum())).all()  # all that fits


@pytest.mark.parametrize("bad", [([-1.0], [1]), ([np.nan], [1]), ([1.0], [0]), ([1.0, 2.0], [1])])
def test_a_knapsack_of_nonsense(bad):
    with pytest.raises(ValueError, match="expected"):
        knapsack(np.array(bad[0]), np.array(bad[1]), 3)


def test_scores_of_picked_frames_reach_to_the_next():
    found = frame_scores(np.array([1.0, 2.0, 3.0]), np.array([1, 3, 4]), 7)
    assert found.tolist() == [0, 1, 1, 2, 3, 3, 3]
    assert frame_scores(np.array([1.0, 2.0]), np.array([0, 3]), 4).tolist() == [1, 1, 1, 2]
    assert frame_scores(np.array([5.0]), np.array([0]), 1).tolist() == [5]


SHOTS = np.array([[0, 4], [4, 6], [6, 10]])


def test_a_summary_is_of_the_shots_with_the_best_means():
    scores = np.array([9, 0, 0, 0, 2, 2, 3, 3, 3, 3.0])
    assert summarize(scores, SHOTS, 0.4).tolist() == [False, False, True]
    assert summarize(scores, SHOTS, 0.39).tolist() == [False, True, False], "4 of 10 frames are too many"
    assert summarize(scores, SHOTS, 0.6).tolist() == [False, True, True], "2.25 is less than 2 + 3"
    assert summarize(scores, SHOTS, 0.1).tolist() == [False, False, False]
    assert frames_of([0, 1, 0], SHOTS, 10).nonzero()[0].tolist() == [4, 5]


def test_f_of_each_annotator():
    summary = np.array([1, 1, 0, 0])
    found = f_scores(summary, [[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert found == pytest.approx([1.0, 2 * 0.5 * (1 / 3) / (0.5 + 1 / 3), 0.0, 0.0])
    assert f_scores(np.zeros(4), np.zeros((1, 4))).tolist() == [0.0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_ranks_are_scipys(pairs):
    x, y = np.array(pairs, float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert kendall(x, y) == spearman(x, y) == 0.0
        return
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-9)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    assert kendall(np.exp(x), y) == pytest.approx(kendall(x, y))  # they know order alone


@pytest.fixture
def video():
    annotators = np.zeros((3, 10), np.uint8)
    annotators[0, 0:4] = annotators[1, 4:6] = annotators[2, 6:10] = 1
    scores = np.tile(np.arange(10.0), (3, 1))
    scores[1] = -scores[1]
    picks = np.array([0, 4, 6])
    return {
        "shots": SHOTS,
        "user_summary": annotators,
        "picks": picks,
        "n_frames": 10,
        "user_scores": scores,
    }


def test_what_scores_are_worth(video):
    found = judge(np.array([0.1, 0.2, 0.9]), video, 0.4, "max")
    assert found == {"f": 1.0, "tau": pytest.approx(1 / 3), "rho": pytest.approx(1 / 3)}
    assert judge(np.array([0.1, 0.2, 0.9]), video, 0.4, "mean")["f"] == pytest.approx(1 / 3)
    without = {name: value for name, value in video.items() if name != "user_scores"}
    taus = [stats.kendalltau([1, 2, 9], row[[0, 4, 6]]).statistic for row in video["user_summary"]]
    assert judge(np.array([0.1, 0.2, 0.9]), without, 0.4, "max")["tau"] == pytest.approx(np.mean(taus))


def test_anchors(video):
    assert human(video, "max") == {"f": 0.0, "tau": pytest.approx(-1 / 3), "rho": pytest.approx(-1 / 3)}
    same = video | {"user_summary": np.tile(video["user_summary"][:1], (3, 1))}
    assert human(same, "mean")["f"] == human(same, "max")["f"] == 1.0
    found = anchors(video, 0.4, "mean")
    assert set(found) == {"random", "equal", "uniform", "middle", "human"}
    known = anchors(video | {"importance": np.array([0.2, 0.1, 0.9])}, 0.4, "max")
    assert known["oracle"]["f"] == 1.0
    assert found == anchors(video, 0.4, "mean"), "random scores are seeded"
    assert found["equal"]["tau"] == 0.0
    assert found["middle"]["f"] == pytest.approx(1 / 3)  # the shot in the middle alone
    assert 0.0 < found["random"]["f"] <= 1 / 3 + 1e-9
    assert "human" not in anchors(video | {"user_summary": video["user_summary"][:1]}, 0.4, "mean")
    with pytest.raises(ValueError, match="two of them"):
        human(video | {"user_summary": video["user_summary"][:1]}, "mean")
