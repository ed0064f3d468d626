import numpy as np
import pytest

from vgm_jax.data.parts import parts


def batch():
    video = np.arange(2 * 8 * 16 * 16 * 3).reshape(2, 8, 16, 16, 3)
    times = np.tile(np.arange(8) / 8.0, (2, 1)) + 3
    audio = np.tile(np.arange(800), (2, 1))
    return {
        "video": video,
        "times": times,
        "audio": audio,
        "label": np.array([3, 4]),
        "track": video[..., 0, 0],
    }


def test_one_part_is_the_clip():
    b = batch()
    assert parts(b, 1, 1) == [b]


def test_parts_are_windows_and_squares_with_their_sound():
    b = batch()
    found = parts(b, 3, 2)
    assert len(found) == 6
    for i, part in enumerate(found):
        first, place = (0, 1, 2)[i // 2], (0, 2)[i % 2]
        expected = b["video"][:, first : first + 6, place : place + 14, place : place + 14]
        np.testing.assert_array_equal(part["video"], expected)
        np.testing.assert_array_equal(part["audio"], b["audio"][:, 100 * first : 100 * first + 600])
        np.testing.assert_allclose(part["times"], np.tile(np.arange(6) / 8, (2, 1)), atol=1e-6)
        assert part["label"] is b["label"] and "track" not in part


def test_no_part_is_an_error():
    with pytest.raises(ValueError, match=r"evaluate.views=\(0, 1\): both must be at least 1"):
        parts(batch(), 0, 1)
