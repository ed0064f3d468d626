import numpy as np
import pytest

from vgm_jax.evaluation.probe import class_accuracies, fit_softmax, harmonic, judge_classes
from vgm_jax.evaluation.scatter import scatter_picture

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6))
Y = (X @ RNG.normal(size=(6, 3)) + RNG.normal(size=(90, 3))).argmax(1)


def slopes(probe, x, targets, share, decay):
    """Of the objective at a classifier, by its textbook gradient, in float64."""
    logits = x @ np.asarray(probe.kernel, np.float64) + np.asarray(probe.bias, np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    wrong = (p - targets) * share[:, None]
    return x.T @ wrong + decay * np.asarray(probe.kernel, np.float64), wrong.sum(0)


@pytest.mark.parametrize("decay", [1e-3, 1e-1])
def test_it_is_the_optimum(decay):
    weights = RNG.uniform(0.2, 3.0, 90)
    probe = fit_softmax(X, Y, 3, weights=weights, decay=decay)
    for slope in slopes(probe, X, np.eye(3)[Y], weights / weights.sum(), decay):
        assert np.abs(slope).max() < 1e-4
    zero = probe._replace(kernel=0 * probe.kernel, bias=0 * probe.bias)
    assert np.abs(slopes(zero, X, np.eye(3)[Y], weights / weights.sum(), decay)[0]).max() > 0.1


def test_a_weight_is_as_many_rows_and_a_soft_label_a_share_of_rows():
    probe = fit_softmax(X, Y, 3, weights=1.0 + (Y == 2))
    twice = fit_softmax(np.concatenate([X, X[Y == 2]]), np.concatenate([Y, Y[Y == 2]]), 3)
    np.testing.assert_allclose(probe.kernel, twice.kernel, atol=2e-3)
    soft = fit_softmax(X, 0.75 * np.eye(3)[Y] + 0.25 * np.eye(3)[0], 3)
    rows = fit_softmax(np.tile(X, (4, 1)), np.concatenate([Y, Y, Y, np.zeros(90, int)]), 3)
    np.testing.assert_allclose(soft.kernel, rows.kernel, atol=2e-3)


def test_what_is_not_allowed_is_never_said_and_takes_nothing():
    probe = fit_softmax(X, Y, 5, allowed=np.array([1, 1, 1, 0, 0]))
    assert probe.logits(X).argmax(1).max() == 2
    np.testing.assert_allclose(probe.kernel[:, :3], fit_softmax(X, Y, 3).kernel, atol=2e-3)


def test_attributes_are_learnt_together_and_tell_a_class_without_rows():
    """Four classes of two by two attributes; of the last no vector is ever seen."""
    table = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 60)
    x = 2 * table[labels] @ rng.normal(size=(4, 6)) + rng.normal(size=(240, 6))
    seen = labels < 3
    probe = fit_softmax(x[seen], labels[seen], 4, decay=1e-2, attributes=table)
    found = class_accuracies(labels, probe.logits(x).argmax(1), 4)
    assert found[3] > 0.8 and found.min() > 0.7
    # Its slope along the attributes, over classes that have rows, is none.
    logits = x[seen] @ np.asarray(probe.kernel, np.float64) + np.asarray(probe.bias, np.float64)
    logits[:, 3] = -np.inf
    p = np.exp(logits - logits.max(1, keepdims=True))
    wrong = (p / p.sum(1, keepdims=True) - np.eye(4)[labels[seen]]) @ table / seen.sum()
    own = np.linalg.lstsq(table.astype(float), np.asarray(probe.kernel, np.float64).T, rcond=None)[0].T
    assert np.abs(x[seen].T @ wrong + 1e-2 * own).max() < 1e-3
    # Attributes that are all each class's own: nothing is known of the last, and nothing of it diverges.
    lone = fit_softmax(x[seen], labels[seen], 4, attributes=np.concatenate([table, np.eye(4)], 1))
    assert np.abs(lone.bias).max() < 50 and (lone.logits(x[seen]).argmax(1) == labels[seen]).mean() > 0.7
    alike = fit_softmax(x, labels, 4, attributes=np.eye(4))  # of one attribute each it is the plain one
    np.testing.assert_allclose(alike.kernel, fit_softmax(x, labels, 4).kernel, atol=1e-6)


def test_figures_by_hand():
    labels, guesses = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 2])
    np.testing.assert_allclose(class_accuracies(labels, guesses, 4), [2 / 3, 1, 1 / 2, np.nan])
    found = judge_classes(labels, guesses, np.array([True, True, False, True]))
    s, u = (2 / 3 + 1) / 2, 1 / 2
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced"] == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert (found["seen"], found["unseen"]) == pytest.approx((s, u))
    assert found["harmonic"] == pytest.approx(1 / ((1 / s + 1 / u) / 2))
    assert "harmonic" not in judge_classes(labels, guesses, np.ones(4))
    assert harmonic(0.0, 0.0) == 0.0 and harmonic(0.0, 1.0) == 0.0


def test_a_scatter_shows_both_sets_and_their_classes_apart():
    labels = np.repeat([0, 1], 20)
    real = np.stack([np.where(labels, 5.0, -5.0), 0.1 * RNG.normal(size=40)], 1) @ RNG.normal(size=(2, 8))
    picture = scatter_picture(real, labels, real[:20], labels[:20], side=64)
    assert picture.shape == (64, 128, 3)
    left, right = ({tuple(p) for p in half.reshape(-1, 3)} for half in (picture[:, :64], picture[:, 65:]))
    assert len(left) == 3 and len(right) == 2 and right < left  # white, and a colour a class
