"""Cleaning: each damage is found, and what is clean is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from vgm_jax.data.decode import read_frames
from vgm_jax.data.media import write_video
from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.preparation.cleaning import (
    NEAR,
    alike,
    distance,
    find_bars,
    fingerprint,
    glimpse,
    luma,
    measure,
    pool,
    sharpness,
    why_not,
)


def scene(seed, frames=16, size=(64, 64), low=20, high=236):
    """uint8 [T H W 3]: blocks of colour with some texture, that drift."""
    rng = np.random.default_rng(seed)
    h, w = size
    blocks = rng.integers(low, high, (h // 8 + 1, (w + frames) // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    wide = (blocks + rng.integers(-12, 13, blocks.shape)).clip(0, 255).astype(np.uint8)
    return np.stack([wide[:h, t : t + w] for t in range(frames)])


def blurred(video, sigma):
    blur = ImageFilter.GaussianBlur(sigma)
    return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in video])


def reason(video, **limits):
    why = why_not(measure(video), **limits)
    return None if why is None else why[0]


@pytest.fixture(scope="module")
def shapes():
    source = ShapeShow(split="train", size=64, frames=16)
    return [np.asarray(source[i]["video"]) for i in range(60)]


def test_clean_clips_are_kept(shapes):
    assert [reason(clip) for clip in shapes] == [None] * len(shapes)
    assert [reason(scene(seed)) for seed in range(8)] == [None] * 8
    small = ShapeShow(split="train", size=32, frames=16)
    assert [reason(np.asarray(small[i]["video"])) for i in range(30)] == [None] * 30


def test_one_frame_is_not_frozen():
    assert reason(scene(0)[:1]) is None


def test_black(shapes):
    rng = np.random.default_rng(0)
    assert reason(np.zeros((16, 64, 64, 3), np.uint8)) == "black"
    assert reason(rng.integers(0, 20, (16, 64, 64, 3)).astype(np.uint8)) == "black"
    night = (scene(0) * 0.1).astype(np.uint8)
    night[:, 20:26, 30:36] = 200  # a lamp
    assert reason(night) is None
    fade = (scene(0) * np.linspace(0, 1, 16)[:, None, None, None]).astype(np.uint8)
    assert reason(fade) is None
    assert reason(np.zeros((16, 64, 64, 3), np.uint8), black=0, frozen=0, blurred=0) is None


@pytest.mark.parametrize("noise", [0, 4])
def test_frozen_is_what_compression_leaves_of_a_still(tmp_path, noise):
    rng = np.random.default_rng(0)
    still = scene(1, 1, (240, 240)).repeat(24, 0)
    still = (still + rng.normal(0, noise, still.shape)).clip(0, 255).astype(np.uint8)
    write_video(tmp_path / "a.mp4", still, fps=12)
    assert reason(read_frames(tmp_path / "a.mp4", size=64)[0][:16]) == "frozen"


def test_a_fixed_camera_is_not_frozen(tmp_path):
    """Someone walks far away: 3 by 6 pixels of 64 by 64, half hidden in the dark."""
    video = scene(2, 1, (240, 240)).repeat(24, 0)
    for t, frame in enumerate(video):
        frame[120:143, 100 + t : 111 + t] //= 2
    write_video(tmp_path / "a.mp4", video, fps=12)
    clip = read_frames(tmp_path / "a.mp4", size=64)[0][:16]
    assert reason(clip) is None
    assert reason(clip, frozen=255) == "frozen"


def test_blurred(shapes):
    clips = [scene(seed) for seed in range(8)]
    assert [reason(blurred(clip, 3)) for clip in clips] == ["blurred"] * 8
    assert [reason(blurred(clip, 0.7)) for clip in clips] == [None] * 8
    one_sharp = blurred(clips[0], 3)
    one_sharp[7] = clips[0][7]  # the focus is found
    assert reason(one_sharp) is None


def test_sharpness_is_that_of_edges():
    """Whatever the contrast, brightness and size; white noise has a variance of 20 times its own."""
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 40, (4, 64, 64)).astype(np.float32)
    assert sharpness(noise) == pytest.approx(20, rel=0.1)
    grey = luma(scene(0))
    assert sharpness(grey * 0.5 + 60) == pytest.approx(sharpness(grey), rel=0.05)
    edge = np.zeros((1, 64, 64), np.float32)
    edge[:, :, 30:] = 200
    twice = edge.repeat(2, 1).repeat(2, 2)
    assert sharpness(twice) == pytest.approx(sharpness(edge), rel=0.1)
    assert sharpness(np.full((2, 16, 16), 9, np.float32)) == 0
    assert sharpness(np.zeros((2, 1, 1), np.float32)) == 0


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 16))
def test_pools_are_means(height, width, cells):
    image = np.random.default_rng(0).uniform(0, 255, (2, height, width)).astype(np.float32)
    pooled = pool(image, cells)
    assert pooled.shape == (2, cells, cells)
    np.testing.assert_allclose(pooled.mean((1, 2)), image.mean((1, 2)), rtol=1e-3)
    exact = image.repeat(cells, 1).repeat(cells, 2).reshape(2, cells, height, cells, width).mean((2, 4))
    np.testing.assert_allclose(pooled, exact, rtol=1e-3, atol=0.01)


# Fingerprints


def test_copies_are_near(tmp_path):
    for seed in range(6):
        video = scene(seed, 24)
        write_video(tmp_path / "a.mp4", video.repeat(2, 1).repeat(2, 2), fps=12)
        copy = read_frames(tmp_path / "a.mp4", size=64)[0]
        paler = (copy * 0.8 + 20).astype(np.uint8)
        assert distance(fingerprint(video), fingerprint(copy)) <= NEAR
        assert distance(fingerprint(video), fingerprint(paler)) <= NEAR
        assert alike(glimpse(video), glimpse(copy))
        assert alike(glimpse(video), glimpse(paler))


def test_others_are_far(shapes):
    marks = [fingerprint(scene(seed)) for seed in range(30)]
    apart = [distance(a, b) for i, a in enumerate(marks) for b in marks[:i]]
    assert min(apart) > NEAR and np.mean(apart) == pytest.approx(32, abs=3)
    marks = [fingerprint(clip) for clip in shapes]
    apart = [distance(a, b) for i, a in enumerate(marks) for b in marks[:i]]
    assert np.mean(np.array(apart) <= NEAR) < 0.005
    assert all(0 <= mark < 2**64 for mark in marks)


def test_the_same_place_at_another_time_is_no_copy():
    """A fixed camera: a box goes another way."""
    place = scene(3, 1).repeat(16, 0)
    there, down = place.copy(), place.copy()
    for t in range(16):
        there[t, 10:20, 3 * t : 3 * t + 10] = 255
        down[t, 3 * t : 3 * t + 10, 40:50] = 255
    assert distance(fingerprint(there), fingerprint(down)) > NEAR


def test_what_moves_at_another_time_is_no_copy():
    """A fixed camera: a box goes the same way, but later; noise alone is the same place."""
    place = scene(3, 1).repeat(16, 0)
    early, late, quiet = place.copy(), place.copy(), place.copy()
    for t in range(8):
        early[t, 10:20, 6 * t : 6 * t + 10] = 255
        late[15 - t, 10:20, 6 * t : 6 * t + 10] = 255
    quiet = np.clip(quiet + np.random.default_rng(0).normal(0, 3, quiet.shape), 0, 255).astype(np.uint8)
    early, late, quiet, place = map(glimpse, (early, late, quiet, place))
    assert alike(early, early) and alike(quiet, place)
    assert not alike(early, late) and not alike(early, quiet)
    assert not alike(early, early[:8])


def test_little_that_moves_in_one_corner_is_seen():
    """Somebody far away: one part in 256 of a fixed camera's picture, on two days."""
    place = scene(3, 1).repeat(16, 0)
    one, other = place.copy(), place.copy()
    one[:8, 40:44, 8:12] = 255 - one[:8, 40:44, 8:12]
    other[10:, 40:44, 8:12] = 255 - other[10:, 40:44, 8:12]
    assert distance(fingerprint(one), fingerprint(other)) <= NEAR
    assert alike(glimpse(one), glimpse(one)) and not alike(glimpse(one), glimpse(other))


def test_stills_are_copies_only_where_their_pictures_are():
    """Half of a fingerprint is of what moves: of slides it says nothing."""
    rng = np.random.default_rng(0)

    def slide():
        page = np.full((64, 64, 3), 240, np.uint8)
        page[4:10, 4:60] = 30  # of all slides: a bar
        for line in range(16, 60, 4):
            page[line : line + 2, 4 : 8 + rng.integers(50)] = 60
        return page[None].repeat(16, 0)

    slides = [slide() for _ in range(12)]
    seen = [glimpse(page) for page in slides]
    assert not any(alike(a, b) for i, a in enumerate(seen) for b in seen[:i])
    paler = (slides[0] * 0.8 + 20).astype(np.uint8)
    assert alike(seen[0], glimpse(paler)) and alike(glimpse(slides[0][:1]), glimpse(paler[:1]))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distance_counts_bits(a, b):
    assert distance(a, b) == distance(b, a) == bin(a ^ b).count("1")


def test_a_single_frame_has_a_fingerprint():
    assert fingerprint(scene(0, 1)) == fingerprint(scene(0, 1))


# Black bars


def letterboxed(seed, top=0, side=0, size=(120, 160), noise=0):
    """16 different frames between bars."""
    frames = []
    for i in range(16):
        frame = np.random.default_rng(i).integers(0, noise + 1, (*size, 3)).astype(np.uint8)
        inside = scene(100 * seed + i, 1, (size[0] - 2 * top, size[1] - 2 * side))[0]
        frame[top : size[0] - top, side : size[1] - side] = inside
        frames.append(frame)
    return frames


def test_bars_are_found_to_the_pixel():
    left, top, right, bottom = find_bars(letterboxed(0, top=15))
    assert (left, right) == (0, 1)
    assert 15 / 120 <= top <= 17 / 120 and 103 / 120 <= bottom <= 105 / 120
    left, top, right, bottom = find_bars(letterboxed(1, side=20, noise=4))
    assert (top, bottom) == (0, 1)
    assert 20 / 160 <= left <= 22 / 160 and 138 / 160 <= right <= 140 / 160
    both = find_bars(letterboxed(2, top=10, side=12))
    np.testing.assert_allclose(both, (12 / 160, 10 / 120, 148 / 160, 110 / 120), atol=2 / 120)


def test_bars_survive_dark_frames():
    dark = [np.full((120, 160, 3), 3, np.uint8)] * 6
    assert find_bars(dark + letterboxed(0, top=15)) is not None
    assert find_bars(dark) is None
    assert find_bars([]) is None
    assert find_bars(dark + letterboxed(0, top=15)[:2]) is None  # too little to go by


def test_what_has_no_bars_is_not_cropped():
    assert find_bars(letterboxed(0)) is None
    # One frame fills the picture: the film changes its shape.
    assert find_bars(letterboxed(0, top=15)[:10] + letterboxed(1)[:1] + letterboxed(0, top=15)[:5]) is None
    # Only one bar, such as a black caption line.
    one = letterboxed(0, top=15)
    for frame in one:
        frame[:15] = 120
    assert find_bars(one) is None
    # Frames of different sizes.
    assert find_bars(letterboxed(0, top=15)[:8] + letterboxed(0, top=15, size=(60, 80))[:8]) is None


def test_dark_scenes_are_not_cropped():
    y, x = np.mgrid[-1:1:120j, -1:1:160j]
    spot = np.exp(-8 * (y**2 + x**2))  # light in the middle of a stage
    stage = [(spot * (150 + 5 * i))[..., None].repeat(3, -1).astype(np.uint8) for i in range(16)]
    assert find_bars(stage) is None
    rng = np.random.default_rng(0)
    night = []
    for _ in range(16):  # a dark sky and dark ground, lights between, elsewhere in each scene
        frame = rng.integers(0, 18, (120, 160, 3))
        a, b = np.sort(rng.integers(25, 95, 2))
        left, right = np.sort(rng.integers(10, 150, 2))
        frame[a : b + 8, left : right + 1] += 120
        night.append(frame.astype(np.uint8))
    assert find_bars(night) is None


def test_an_object_on_black_is_no_picture_between_bars():
    y, x = np.mgrid[-1:1:120j, -1:1:160j]
    disc = (4 * y**2 + 4 * x**2 < 1.7)[..., None]
    frames = [(disc * frame).astype(np.uint8) for frame in letterboxed(3)]
    assert find_bars(frames) is None


def test_it_stops_at_a_frame_without_bars():
    taken = []
    find_bars(taken.append(i) or frame for i, frame in enumerate(letterboxed(0)))
    assert taken == [0]
