import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from vgm_jax.data.transforms import sample_frames, to_float, to_uint8


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def clips(count, length):
    """Frame t of clip b holds 10 b + t; its time is a tenth of that."""
    values = 10 * jnp.arange(count)[:, None] + jnp.arange(length)
    video = jnp.broadcast_to(values[:, :, None, None, None], (count, length, 2, 3, 1))
    return video, values / 10


def test_every_grey_level_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    floats = to_float(jnp.asarray(levels))
    assert floats.dtype == jnp.float32 and floats[0] == -1.0 and floats[-1] == 1.0
    np.testing.assert_allclose(floats, (levels / 255.0 - 0.5) / 0.5, atol=1e-6)
    back = to_uint8(floats)
    assert back.dtype == jnp.uint8 and np.array_equal(back, levels)


def test_floats_are_clipped_and_rounded():
    values = jnp.asarray([-7.0, -1.0, 1.0, 7.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 254.6 / 127.5 - 1])
    assert to_uint8(values).tolist() == [0, 0, 255, 255, 0, 1, 255]
    assert to_uint8(values.astype(jnp.bfloat16)).tolist()[:4] == [0, 0, 255, 255]


def test_sampled_frames_are_distinct_ordered_and_of_their_times():
    video, times = clips(50, 7)
    frames, seen = sample_frames(video, times, keys(50), 3)
    assert frames.shape == (50, 3, 2, 3, 1) and seen.shape == (50, 3)
    np.testing.assert_allclose(frames[..., 0, 0, 0] / 10, seen, rtol=1e-6)
    assert np.all(np.diff(seen, axis=1) > 0)
    own = np.asarray(frames[..., 0, 0, 0]) // 10
    assert np.array_equal(own, np.tile(np.arange(50)[:, None], (1, 3)))


def test_every_choice_of_frames_is_as_likely():
    video, times = clips(1, 6)
    several = 6000
    frames = jnp.broadcast_to(times, (several, 6))
    _, seen = sample_frames(frames, frames, keys(several), 2)
    pairs = [tuple(pair) for pair in np.round(10 * np.asarray(seen)).astype(int)]
    counts = [pairs.count(pair) for pair in itertools.combinations(range(6), 2)]
    assert sum(counts) == several and chisquare(counts).pvalue > 1e-3


def test_what_is_sampled_is_of_each_clips_own_key():
    video, times = clips(8, 9)
    _, seen = sample_frames(video, times, keys(8), 3)
    _, part = sample_frames(video[4:], times[4:], keys(8)[4:], 3)
    assert np.array_equal(part, seen[4:])
    _, other = sample_frames(video, times, keys(8, seed=1), 3)
    assert not np.array_equal(other, seen)


def test_all_frames_and_too_many():
    video, times = clips(2, 3)
    frames, seen = sample_frames(video, times, keys(2), 3)
    assert np.array_equal(frames, video) and np.array_equal(seen, times)
    with pytest.raises(ValueError, match="4 frames of clips of 3; lower model.frames_seen"):
        sample_frames(video, times, keys(2), 4)
