import numpy as np

from vgm_jax.data.lettering import captioned

BLACK, RED = (0, 0, 0), (200, 0, 0)


def test_text_is_under_frames_that_stay_as_they_are():
    video = np.random.default_rng(0).integers(0, 255, (3, 20, 40, 3)).astype(np.uint8)
    found = captioned(video, [("a short line", BLACK), ("red", RED)], side=100)
    assert found.shape[0] == 3 and found.shape[2] == 200
    np.testing.assert_array_equal(found[:, :100:5, ::5], video)
    band = found[0, 100:].astype(int)
    assert (found[:, 100:] == band).all(), "the same under all frames"
    dark = band.sum(-1) < 200
    red = (band[..., 0] > 150) & (band[..., 1] < 60)
    assert dark.any() and red.any() and np.argwhere(dark)[:, 0].max() < np.argwhere(red)[:, 0].max()


def test_lines_are_broken_and_their_number_can_be_fixed():
    video, words = np.zeros((1, 96, 96, 3), np.uint8), "does the red object begin left of the blue object?"
    free = captioned(video, [(words, BLACK)])
    assert free.shape[1] > captioned(video, [("yes", BLACK)]).shape[1] > 96
    assert (free[:, 96:, -4:] == 255).all(), "nothing runs over the edge"
    fixed = [captioned(video, [(text, BLACK)], rows=2).shape for text in (words, "yes", "")]
    assert len(set(fixed)) == 1
    assert (captioned(video, [("", BLACK)], rows=1)[:, 96:] == 255).all()
