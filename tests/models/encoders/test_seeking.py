"""Where things are in a clip, and by how much it scrolls, before anything is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.models.encoders.seeking import FILLED, drift, saliency
from vgm_jax.models.scene import REACH, SIZE

SIDE = 32
seek, find = jax.jit(saliency, static_argnums=1), jax.jit(drift)


def noise(seed):
    return np.random.default_rng(seed).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)


def test_saliency_is_the_middle_of_what_stands_out():
    """Against sums over pixels, in double precision."""
    frames = noise(3).astype(float)
    weight = np.square(frames - frames.mean((1, 2), keepdims=True)).sum(-1) ** 3 + 1e-6
    weight /= weight.sum((1, 2), keepdims=True)
    y, x = np.meshgrid(*[(np.arange(16) + 0.5) / 8 - 1] * 2, indexing="ij")
    across, down = ((weight * c).sum((1, 2)) for c in (x, y))
    far = (weight * ((x - across[:, None, None]) ** 2 + (y - down[:, None, None]) ** 2)).sum((1, 2))
    size = np.log(FILLED / (SIZE[0] * np.sqrt(2 * far + 1e-4))) / SIZE[1]
    found = np.tanh(seek(jnp.asarray(frames, jnp.float32)[None], 1))[:, 0]
    np.testing.assert_allclose(
        found, np.clip(np.stack([across / REACH, down / REACH, size], -1), -0.97, 0.97), atol=1e-4
    )


def test_a_frame_in_which_nothing_stands_out_is_looked_at_in_the_middle():
    x, y, size = np.asarray(seek(jnp.full((1, 1, 16, 16, 3), 0.3), 1))[0, 0]
    assert (x, y) == pytest.approx((0, 0), abs=1e-5) and np.isfinite(size)


# Several


def things(paths):
    """A clip [T SIDE SIDE 3] of three things along paths [T 3 2], and their radii: disc, square and ring."""
    at = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    frames = np.zeros((len(paths), SIDE, SIDE, 3), np.float32)
    for t, places in enumerate(paths):
        for i, (x, y) in enumerate(places):
            across, down = at[None] - x, at[:, None] - y
            far = np.hypot(across, down)
            square = np.maximum(np.abs(across), np.abs(down))
            there = [far < 0.2, square < 0.16, np.abs(far - 0.18) < 0.06][i]
            frames[t][there] = [[1.0, 0.9, 0.9], [0.2, 1.0, 0.3], [0.5, 0.5, 1.0]][i]
    return frames


# The first two change places, the third goes round; in two of the frames nothing touches.
PATHS = np.array(
    [
        [[-0.6, -0.5], [0.6, -0.5], [0.0, 0.6]],
        [[-0.3, -0.5], [0.3, -0.4], [0.3, 0.5]],
        [[0.3, -0.5], [-0.3, -0.6], [0.5, 0.4]],
        [[0.6, -0.4], [-0.6, -0.5], [0.0, 0.7]],
    ]
)


def places(found, objects):
    """Coordinates [T O 2] of what was sought in one clip."""
    return REACH * np.tanh(np.asarray(found).reshape(-1, objects, 3)[..., :2])


@pytest.mark.parametrize("objects", [2, 3])
def test_several_things_are_found_each_at_its_place_of_the_list(objects):
    """Within a pixel and a half, though they change places: which is which is told by how they look."""
    found = places(seek(jnp.asarray(things(PATHS[:, :objects]))[None], objects), objects)
    real = PATHS[:, :objects]
    order = np.abs(found[0][:, None] - real[0]).sum(-1).argmin(0)
    assert sorted(order) == list(range(objects))
    np.testing.assert_allclose(found[:, order], real, atol=3 / SIDE)


def test_things_of_one_outline_are_told_apart_by_colour():
    paths = np.array([[[-0.6, 0.0], [0.6, 0.1]], [[0.5, 0.0], [-0.5, 0.1]], [[0.6, -0.5], [-0.6, 0.4]]])
    clip = things(np.concatenate([paths, paths[:, :1] * 0 + 5.0], 1)[:, [0, 2, 2]])  # one disc alone
    clip += things(np.concatenate([paths, paths[:, :1] * 0 + 5.0], 1)[:, [1, 2, 2]])[..., [1, 2, 0]] * [
        0,
        1,
        0.4,
    ]
    found = places(seek(jnp.asarray(clip, jnp.float32)[None], 2), 2)
    order = np.abs(found[0][:, None] - paths[0]).sum(-1).argmin(0)
    np.testing.assert_allclose(found[:, order], paths, atol=3 / SIDE)


def test_too_many_things_are_refused():
    with pytest.raises(ValueError, match="objects=7: at most 6"):
        saliency(jnp.zeros((1, 2, 16, 16, 3)), 7)


def test_how_large_a_thing_is_is_told_by_the_frame_in_which_all_are_far_apart():
    found = np.asarray(seek(jnp.asarray(things(PATHS))[None], 3)).reshape(len(PATHS), 3, 3)
    assert np.ptp(found[..., 2], 0).max() < 1e-6
    frames = things(PATHS)
    alone = np.asarray(seek(jnp.asarray(np.where(frames[..., :1] == 1.0, frames, 0.0))[None], 1))  # the disc
    first = np.abs(places(found, 3)[0] - PATHS[0, 0]).sum(-1).argmin()
    np.testing.assert_allclose(found[0, first, 2], alone[0, 0, 2], atol=0.3)


def test_a_clip_in_a_mirror_or_with_its_frames_in_another_order_has_its_things_there():
    clip = jnp.asarray(things(PATHS))
    found = np.asarray(seek(clip[None], 3)).reshape(-1, 3, 3)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        np.asarray(seek(clip[None, order], 3)).reshape(-1, 3, 3), found[order], atol=1e-4
    )
    mirrored = np.asarray(seek(clip[None, :, :, ::-1], 3)).reshape(-1, 3, 3)
    np.testing.assert_allclose(mirrored * [-1, 1, 1], found, atol=1e-2)


def test_clips_do_not_depend_on_each_other():
    one, other = jnp.asarray(things(PATHS)), jnp.asarray(things(PATHS[::-1] * 0.8))
    both = np.asarray(seek(jnp.stack([one, other]), 3))
    np.testing.assert_allclose(both[:4], seek(one[None], 3), atol=1e-4)
    np.testing.assert_allclose(both[4:], seek(other[None], 3), atol=1e-4)


def test_where_nothing_is_nothing_breaks():
    assert np.all(np.isfinite(seek(jnp.full((2, 3, 20, 36, 3), 0.3), 2)))


# What scrolls


def scrolled(places, seed=0, size=32):
    """Frames [1 K size size 3] of one ground, whose upper left corner is at places [K 2], x and y, of it."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(-1, 1, (16, 16, 3)).repeat(5, 0).repeat(5, 1)
    return np.stack([ground[y : y + size, x : x + size] for x, y in places])[None].astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_how_far_each_frame_is_scrolled_from_the_middle_one(seed):
    """Right to a tenth of a texel, up to half a frame; things are shifted against where the window goes."""
    places = np.array([[20, 20], [4, 20], [24, 24], [25, 38], [30, 10]])
    found = np.asarray(find(scrolled(places, seed)))[0] * 16
    np.testing.assert_allclose(found, places[2] - places, atol=0.1)


def test_what_stands_still_or_shows_nothing_is_not_shifted():
    still = np.random.default_rng(0).uniform(-1, 1, (SIDE, SIDE, 3)).astype(np.float32)
    still = np.broadcast_to(still, (1, 5, SIDE, SIDE, 3))
    np.testing.assert_allclose(find(still), 0, atol=1e-2)
    np.testing.assert_allclose(find(jnp.zeros((1, 3, 33, 70, 1))), 0, atol=1e-2)
    for plain in (-1.0, 0.3, 1.0):
        np.testing.assert_allclose(find(jnp.full((1, 5, SIDE, SIDE, 3), plain)), 0, atol=1e-2)
    other = np.concatenate([scrolled([[0, 0]], seed) for seed in range(5)], 1)  # cuts
    assert np.abs(find(other)).max() <= 2.0
