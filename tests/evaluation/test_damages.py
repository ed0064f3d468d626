import numpy as np
import pytest
import scipy.ndimage

from vgm_jax.evaluation.damages import DAMAGES, GAINS, half_modes


@pytest.fixture(scope="module")
def clips():
    """Eight clips of pixel noise, no two frames of which are alike: uint8 [8 6 16 16 3]."""
    return np.random.default_rng(0).integers(0, 256, (8, 6, 16, 16, 3), np.uint8)


def damage(name, clips, seed=0, indices=None):
    return DAMAGES[name](clips, seed, np.arange(len(clips)) if indices is None else indices)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_a_pure_function_that_changes_every_clip(name, clips):
    before = clips.copy()
    out = damage(name, clips)
    assert out.dtype == np.uint8 and out.shape == clips.shape
    assert (out != clips).any((1, 2, 3, 4)).all()
    np.testing.assert_array_equal(clips, before)
    np.testing.assert_array_equal(damage(name, clips), out)
    assert not np.shares_memory(out, clips)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_set_damaged_in_batches_is_the_same_set(name, clips):
    whole = damage(name, clips, 3)
    parts = [damage(name, clips[i : i + 2], 3, np.arange(i, i + 2)) for i in range(0, len(clips), 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", ["shuffled", "noise_5", "noise_25"])
def test_what_is_drawn_follows_the_seed_and_the_place(name, clips):
    same = np.repeat(clips[:1], 4, 0)
    out = damage(name, same)
    assert len({clip.tobytes() for clip in out}) > 1, "clips apart"
    assert (damage(name, same, seed=1) != out).any(), "seeds apart"
    order = np.array([3, 1, 0, 2])
    np.testing.assert_array_equal(damage(name, same, 0, order), out[order])


def test_frozen_repeats_the_first_frame(clips):
    out = damage("frozen", clips)
    for t in range(clips.shape[1]):
        np.testing.assert_array_equal(out[:, t], clips[:, 0])


def test_shuffled_permutes_frames_and_never_leaves_them():
    clips = np.zeros((400, 3, 1, 1, 3), np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None]
    orders = damage("shuffled", clips)[:, :, 0, 0, 0]
    assert (np.sort(orders, 1) == np.arange(3)).all()
    counts = {tuple(o): (orders == o).all(1).sum() for o in np.unique(orders, axis=0)}
    assert (0, 1, 2) not in counts and len(counts) == 5
    assert min(counts.values()) > 400 / 5 / 2, "all other orders alike"
    with pytest.raises(ValueError, match="one frame"):
        damage("shuffled", clips[:, :1])


def test_reversed_twice_is_the_clip(clips):
    once = damage("reversed", clips)
    np.testing.assert_array_equal(once[:, 0], clips[:, -1])
    np.testing.assert_array_equal(damage("reversed", once), clips)


def test_every_second_keeps_half_of_the_frames_and_the_pace(clips):
    out = damage("every_second", clips)
    np.testing.assert_array_equal(out[:, 0::2], clips[:, 0::2])
    np.testing.assert_array_equal(out[:, 1::2], clips[:, 0::2])
    odd = damage("every_second", clips[:, :5])
    np.testing.assert_array_equal(odd[:, 4], clips[:, 4])


@pytest.mark.parametrize("count", [2, 7, 8])
def test_second_half_is_of_another_clip(clips, count):
    clips = clips[:count]
    out = damage("second_half", clips)
    np.testing.assert_array_equal(out[:, :3], clips[:, :3])
    for i in range(count):
        (owner,) = [j for j in range(count) if (out[i, 3:] == clips[j, 3:]).all()]
        assert owner != i
    with pytest.raises(ValueError, match="another one"):
        damage("second_half", clips[:1])


@pytest.mark.parametrize("deviation", [5, 10, 25])
def test_noise_has_its_deviation_and_no_bias(deviation):
    grey = np.full((4, 8, 32, 32, 3), 128, np.uint8)
    change = damage(f"noise_{deviation}", grey).astype(float) - 128
    # Rounding adds a variance of 1/12.
    assert change.std() == pytest.approx(np.hypot(deviation, 12**-0.5), rel=0.01)
    assert abs(change.mean()) < 4 * deviation / change.size**0.5
    for axis in (1, 2, 3, 4):
        a, b = np.split(np.moveaxis(change, axis, 0)[: change.shape[axis] // 2 * 2], 2)
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / a.size**0.5
    white = damage(f"noise_{deviation}", np.full_like(grey, 255))
    assert white.max() == 255 and white.min() > 100, "clipped, not wrapped"


@pytest.mark.parametrize("deviation", [1, 2])
def test_blur_is_that_of_scipy(clips, deviation):
    expected = scipy.ndimage.gaussian_filter(clips.astype(float), (0, 0, deviation, deviation, 0))
    assert np.abs(damage(f"blur_{deviation}", clips) - expected).max() <= 0.5 + 1e-3
    flat = np.full((1, 2, 16, 16, 3), 77, np.uint8)
    np.testing.assert_array_equal(damage(f"blur_{deviation}", flat), flat)


def test_colour_shift_warms(clips):
    out = damage("colour_shift", clips // 2)
    np.testing.assert_allclose(out, clips // 2 * np.array(GAINS), atol=0.5 + 1e-4)
    assert damage("colour_shift", np.full((1, 1, 1, 1, 3), 255, np.uint8)).ravel().tolist() == [255, 255, 204]


def test_half_modes_leaves_out_the_second_half():
    labels = np.random.default_rng(0).integers(0, 12, 600)
    chosen = half_modes(labels, 200, 0)
    assert set(labels[chosen]) == set(range(6)) and len(set(chosen)) == 200
    np.testing.assert_array_equal(half_modes(labels, 200, 0), chosen)
    assert (half_modes(labels, 200, 1) != chosen).any()
    many = half_modes(labels, 600, 0)
    assert len(many) == 600 and set(labels[many]) == set(range(6))
    with pytest.raises(ValueError, match="cannot be left out"):
        half_modes(np.zeros(5, int), 5, 0)
