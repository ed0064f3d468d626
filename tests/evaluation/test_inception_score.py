import numpy as np
import pytest

from vgm_jax.evaluation.inception_score import inception_score


def test_sure_of_all_classes_alike_is_as_many_as_there_are():
    assert inception_score(np.eye(5)[[0, 1, 2, 3, 4] * 3]) == pytest.approx(5.0)


@pytest.mark.parametrize("row", [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
def test_rows_alike_score_one(row):
    assert inception_score(np.tile(row, (7, 1))) == pytest.approx(1.0)


def test_two_classes_in_closed_form():
    """Rows (q, 1-q) and (1-q, q): the marginal is uniform, so the score is 2 exp(-H(q))."""
    q = 0.9
    entropy = -(q * np.log(q) + (1 - q) * np.log(1 - q))
    assert inception_score(np.array([[q, 1 - q], [1 - q, q]])) == pytest.approx(2 * np.exp(-entropy))


def test_unequal_shares():
    """Sure rows: the score is exp of the marginal's entropy, here of (3/4, 1/4)."""
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert inception_score(np.eye(3)[[0, 0, 0, 2]]) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [np.ones(3) / 3, np.ones((2, 3)), np.zeros((0, 3)), [[1.5, -0.5]]])
def test_what_is_no_distribution_is_refused(rows):
    with pytest.raises(ValueError, match="rows of probabilities"):
        inception_score(np.asarray(rows))
