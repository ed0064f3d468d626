"""Shots: films whose cuts are known, and what is done with the network's probabilities."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgm_jax.preparation import shots
from vgm_jax.preparation.shots import SIZE, number_shots, transition_probabilities


def scene(seed, frames):
    """uint8 [T 27 48 3]: a box that crosses a smooth background, which drifts."""
    rng = np.random.default_rng(seed)
    (h, w), colours = SIZE, rng.integers(0, 256, (2, 3))
    small = (colours[0] + rng.integers(-60, 61, (4, 6, 3))).clip(0, 255).astype(np.uint8)
    wide = np.asarray(Image.fromarray(small).resize((w + frames // 4 + 1, h), Image.Resampling.BICUBIC))
    video = np.stack([wide[:, t // 4 : t // 4 + w] for t in range(frames)])
    for t, frame in enumerate(video):
        x = int((0.2 + 0.5 * t / frames) * w)
        frame[h // 3 : h // 3 + h // 4, x : x + w // 6] = colours[1]
    return video


@pytest.fixture(scope="module")
def cuts():
    """A film of four shots, and the first frame of each."""
    lengths = (40, 65, 30, 78)
    film = np.concatenate([scene(seed, n) for seed, n in enumerate(lengths)])
    return film, [0, *itertools.accumulate(lengths[:-1])]


@pytest.fixture(scope="module")
def probabilities(cuts):
    return list(transition_probabilities(iter(cuts[0])))


def firsts(numbers):
    """The first frame of each shot."""
    return [numbers.index(shot) for shot in range(max(n for n in numbers if n is not None) + 1)]


def test_known_cuts_are_found(cuts, probabilities):
    film, starts = cuts
    assert len(probabilities) == len(film)
    numbers = list(number_shots(probabilities))
    assert firsts(numbers) == starts
    for start, end in zip(starts, [*starts[1:], len(film)], strict=True):
        assert len({n for n in numbers[start:end]} - {None}) == 1
        assert numbers[start:end].count(None) <= 2


def test_where_a_window_lies_makes_little_difference(cuts, probabilities):
    """Against one window of 100 frames with a cut in its middle."""
    film, starts = cuts
    first = starts[1] - 30
    window = film[first : first + 100]
    whole = np.array(list(transition_probabilities(np.concatenate([window[:1]] * 25 + [window]))))
    found = np.array(probabilities)
    near = slice(starts[1] - 3, starts[1] + 3)
    np.testing.assert_allclose(found[near], whole[25:][3 + 24 : 3 + 30], atol=0.1)


def test_frames_come_as_a_stream(cuts, probabilities):
    taken = []

    def frames():
        for frame in cuts[0]:
            taken.append(frame)
            yield frame

    stream = transition_probabilities(frames())
    for i, expected in enumerate(probabilities):
        assert next(stream) == expected
        assert len(taken) <= i + 76
    assert next(stream, None) is None


@pytest.mark.parametrize("length", [0, 1, 2, 26, 75, 76, 101])
def test_every_frame_is_told_of_once(length, monkeypatch):
    """Whatever the length: the network is replaced by one that names the frames in the middle."""
    film = np.zeros((length, *SIZE, 3), np.uint8)
    film[..., 0] = np.arange(length)[:, None, None] * 255 // max(length, 1)
    film[::2, ..., 1:] = 255  # all of it changes
    monkeypatch.setattr(shots, "_look", lambda window: [(f[0, 0, 0] / 1, 0.0) for f in window[25:75]])
    told = [middle for middle, _ in transition_probabilities(iter(film))]
    seen = [film[i, 0, 0, 0] for i in range(length)]
    quiet = [a == 0 and b != 0 for a, b in zip(told, seen, strict=True)]
    assert len(told) == length
    assert all(a == b or q for a, b, q in zip(told, seen, quiet, strict=True))
    assert sum(quiet) <= 1  # a single frame has nothing to differ from


def test_what_stands_still_costs_nothing(monkeypatch):
    looks = []
    monkeypatch.setattr(shots, "_look", lambda window: looks.append(len(window)) or [(1.0, 1.0)] * 50)
    still = np.random.default_rng(0).integers(0, 256, SIZE + (3,)).astype(np.uint8)
    grain = np.random.default_rng(1).integers(-2, 3, (300, *SIZE, 3))
    film = (still + grain).clip(0, 255).astype(np.uint8)
    assert list(transition_probabilities(film)) == [(0.0, 0.0)] * 300
    assert not looks
    film[200:] = 255 - film[200:]
    told = list(transition_probabilities(film))
    assert looks == [100] and told[199] == told[200] == (1.0, 1.0) and told[150] == (0.0, 0.0)


# Numbering


def test_a_shot_begins_after_the_run_and_transitions_are_in_none():
    quiet, cut, fade = (0.1, 0.1), (0.9, 0.9), (0.2, 0.8)
    run = [quiet] * 3 + [cut] + [quiet] * 2 + [fade, cut, fade] + [quiet] + [fade, fade] + [quiet]
    assert list(number_shots(run)) == [0, 0, 0, None, 1, 1, None, None, None, 2, 2, 2, 2]
    assert list(number_shots([cut, cut, quiet, quiet, cut])) == [None, None, 0, 0, None]
    assert list(number_shots([(0.5, 0.5)] * 3)) == [0, 0, 0]
    assert list(number_shots([])) == []


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.9]), st.sampled_from([0.0, 0.9])), max_size=260))
@settings(max_examples=60, deadline=None)
def test_numbers_never_go_back_and_skip_none(pairs):
    numbers = list(number_shots(iter(pairs)))
    assert len(numbers) == len(pairs)
    known = [n for n in numbers if n is not None]
    assert known == sorted(known) and sorted(set(known)) == list(range(len(set(known))))
    assert all(numbers[i] is None for i, (middle, _) in enumerate(pairs) if middle > 0.5)
    for (a, n), (b, m) in itertools.pairwise(zip(pairs, numbers, strict=True)):
        if max(a) <= 0.5 and max(b) <= 0.5:
            assert n == m is not None
