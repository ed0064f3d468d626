import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgm_jax.evaluation.calibration import calibration_error, confusion_matrix, confusion_picture

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(answers)
def test_it_is_the_formula(rows):
    confidence, right = (np.array(x, float) for x in zip(*rows, strict=True))
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15) | ((i == 0) & (confidence == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    np.testing.assert_allclose(calibration_error(confidence, right), expected, atol=1e-9)


def test_who_is_right_as_often_as_he_says_is_calibrated():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 50_000)
    assert calibration_error(confidence, rng.random(50_000) < confidence) < 0.01
    assert calibration_error(np.ones(4), np.zeros(4)) == 1.0
    assert calibration_error(np.ones(4), np.ones(4)) == 0.0


@pytest.mark.parametrize("confidence", [[], [1.2], [-0.1]])
def test_what_are_no_confidences(confidence):
    with pytest.raises(ValueError, match="in 0..1"):
        calibration_error(np.array(confidence), np.ones(len(confidence)))


def test_what_was_taken_for_what():
    matrix = confusion_matrix(np.array([0, 0, 2, 1]), np.array([0, 1, 2, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_the_picture_is_dark_where_most_are():
    matrix = np.array([[8, 0, 0], [0, 0, 0], [2, 2, 4]])
    picture = confusion_picture(matrix)
    cell = (len(picture) - 1) // 3
    brightness = picture[cell // 2 :: cell, cell // 2 :: cell][:3, :3].astype(int).sum(-1)
    assert brightness[0, 0] < brightness[2, 2] < brightness[2, 0] == brightness[2, 1] < brightness[0, 1]
    assert brightness[1].tolist() == [765] * 3
    named = confusion_picture(matrix, ["left", "right", "up"])
    assert named.shape[0] == picture.shape[0] and named.shape[1] > picture.shape[1]
    np.testing.assert_array_equal(named[:, -picture.shape[1] :], picture)
    assert (named[:, : -picture.shape[1]] < 100).any()
