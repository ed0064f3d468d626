"""Figures of real ShapeShow clips, and of clips damaged on purpose: each moves the way it should."""

import dataclasses

import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.evaluation import physics

pytestmark = pytest.mark.usefixtures("optimised")

N = 48
TIMES = np.arange(16) / 16


def render(count=N, frames=16, fps=16.0, variant="single", wanted=lambda clip: True):
    source = ShapeShow("test", frames=frames, fps=fps, variant=variant)
    clips = (source.clip(i) for i in range(40 * count))
    return [clip for _, clip in zip(range(count), filter(wanted, clips), strict=False)]


def video_of(clips):
    return np.stack([clip.video for clip in clips])


def spliced(first, second, frame=8):
    """The first clips until a frame, then the second ones."""
    video = first.copy()
    video[:, frame:] = second[:, frame:]
    return video


@pytest.fixture(scope="module")
def truth():
    return render()


@pytest.fixture(scope="module")
def real(truth):
    return physics.observe(video_of(truth), TIMES)


@pytest.fixture(scope="module")
def figures(real):
    return physics.figures(real)


def test_real_clips_are_what_they_are(truth, real, figures):
    kinds = physics.classes(real)
    for name in ("shape", "colour", "motion"):
        expected = [physics.NAMES[name].index(getattr(clip.objects[0], name)) for clip in truth]
        assert np.mean(kinds[name] == expected) > 0.9, name
    for name in ("whole/all", "identity/all", "steady", "bounces_at_walls"):
        assert figures[name] > 0.85, name
    assert figures["jumps"] < 0.05
    assert (
        figures["inception/shape"] > 5 and figures["inception/colour"] > 5 and figures["inception/motion"] > 6
    )
    place = np.stack([np.stack([c.objects[0].x, c.objects[0].y, c.objects[0].radius], -1) for c in truth])
    assert np.abs(real.track - place).mean() < 0.02


def test_nothing_at_all(truth):
    video = video_of(truth)
    still = np.broadcast_to(np.median(video, axis=(2, 3), keepdims=True), video.shape).astype(np.uint8)
    found = physics.judge(still, TIMES)
    assert found["whole/shape"] < 0.1 and found["whole/all"] < 0.05 and found["identity/all"] < 0.05
    assert found["inception/shape"] < 2


def test_two_objects():
    several = render(24, variant="multi", wanted=lambda clip: len(clip.objects) > 1)
    found = physics.judge(video_of(several), TIMES)
    assert found["whole/all"] < 0.4


def test_colour_switched_half_way(figures):
    """The same shape on the same path, from a red one to a green one."""
    video = video_of(render(24, wanted=lambda clip: clip.objects[0].colour == "red"))
    found = physics.judge(spliced(video, video[..., [1, 0, 2]]), TIMES)
    assert found["identity/colour"] < 0.1 < 0.8 < figures["identity/colour"]
    assert found["identity/shape"] > 0.8


def test_shape_switched_half_way(figures):
    first, second = (
        video_of(render(16, wanted=lambda clip, s=s: clip.objects[0].shape == s)) for s in ("circle", "star")
    )
    found = physics.judge(spliced(first, second), TIMES)
    assert found["identity/shape"] < 0.1 < 0.8 < figures["identity/shape"]


def test_an_object_that_is_suddenly_elsewhere(figures):
    video = video_of(
        render(24, wanted=lambda clip: clip.objects[0].motion in ("grow", "shrink", "spin", "up"))
    )
    found = physics.judge(spliced(video, np.roll(video, 16, axis=3)), TIMES)
    assert found["jumps"] > 0.6 > 0.1 > figures["jumps"]


def test_unsteady_and_bouncing_off_nothing(real):
    """On tracks alone, which need no picture."""
    t = np.linspace(0, 1, 16)
    flat = np.full(16, 0.5)
    motion = np.zeros((4, 13))
    left, bounce = physics.NAMES["motion"].index("left"), physics.NAMES["motion"].index("bounce")
    motion[:2, left], motion[2:, bounce] = 1, 1
    wave = np.abs(2 * (1.3 * t + 0.5) % 2 - 1)
    x = np.stack([0.8 - 0.6 * t, 0.8 - 0.6 * t**3, 0.25 + 0.5 * wave, 0.4 + 0.2 * wave])
    track = np.stack([x, np.tile(flat, (4, 1)), np.full((4, 16), 0.2)], -1)
    seen = dataclasses.replace(
        real, shape=real.shape[:4], colour=real.colour[:4], motion=motion, track=track, times=t
    )
    assert physics.is_steady(seen).tolist() == [True, False]
    turns = physics.turns_at_walls(seen)
    assert turns.any() and not turns.all()
    only = dataclasses.replace(seen, motion=motion[[0, 0, 0, 2]])
    assert physics.turns_at_walls(dataclasses.replace(only, track=track[[0, 0, 0, 2]])).all()
    assert not physics.turns_at_walls(dataclasses.replace(only, track=track[[0, 0, 0, 3]])).any()


def test_size_may_only_change_by_growing(real):
    kinds = physics.classes(real)
    grows = np.isin(kinds["motion"], [physics.NAMES["motion"].index(n) for n in ("grow", "shrink")])
    assert physics.keeps_identity(real)["size"].mean() > 0.9
    track = real.track.copy()
    track[:, :, 2] *= np.where(np.arange(16) % 2, 1.5, 1.0)
    flickering = dataclasses.replace(real, track=track)
    assert physics.keeps_identity(flickering)["size"].mean() < 0.1
    track = real.track.copy()
    track[:, :, 2] = np.linspace(0.1, 0.3, 16)
    assert not physics.keeps_identity(dataclasses.replace(real, track=track))["size"][~grows].any()


def test_any_length_in_pieces(truth, real):
    """The first second decides the motion; frames are judged alone, in whatever pieces they come."""
    long = video_of(truth[:4])[:, np.arange(40) % 16]
    seen = physics.observe(long, np.arange(40) / 16)
    np.testing.assert_allclose(seen.shape, real.shape[:4, np.arange(40) % 16], atol=1e-4)
    np.testing.assert_allclose(seen.track, real.track[:4, np.arange(40) % 16], atol=1e-4)
    np.testing.assert_allclose(seen.motion, real.motion[:4], atol=1e-4)


def test_total_variation(real):
    part = dataclasses.replace(
        real, shape=real.shape[:8], colour=real.colour[:8], motion=real.motion[:8], track=real.track[:8]
    )
    same, other = physics.total_variations(real, real), physics.total_variations(real, part)
    assert set(same.values()) == {0.0} and all(0 < value <= 1 for value in other.values())
    assert physics.total_variation({"a": 1.0, "b": 0.0}, {"a": 0.25, "b": 0.75}) == 0.75
    for shares in physics.distributions(real).values():
        assert sum(shares.values()) == pytest.approx(1.0) and "none" in shares


def test_other_arrays_are_refused():
    video = np.zeros((2, 4, 8, 8, 3), np.uint8)
    for wrong, times in ((video / 255, np.arange(4)), (video[0], np.arange(4)), (video, np.arange(5))):
        with pytest.raises(ValueError, match="expected clips uint8"):
            physics.observe(wrong, times)
