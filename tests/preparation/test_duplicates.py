import time
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vgm_jax.preparation import duplicates
from vgm_jax.preparation.cleaning import NEAR
from vgm_jax.preparation.duplicates import find_duplicates


def brute_force(marks, groups, shots, bits, within, agree=lambda first, other: True):
    """Each against each that is kept before it."""
    found, kept = {}, []
    for i, mark in enumerate(marks):
        for j in kept:
            differ = bin(mark ^ marks[j]).count("1")
            limit = bits if groups[i] != groups[j] else within if shots[i] != shots[j] else -1
            if differ <= min(limit, bits) and agree(j, i):
                found[i] = j
                break
        else:
            kept.append(i)
    return found


@st.composite
def clips(draw):
    """Fingerprints near a few centres, of a few videos and shots."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.lists(st.integers(0, 63), max_size=9)
    one = st.tuples(st.sampled_from(centres), flips, st.integers(0, 3), st.integers(0, 2))
    marks, groups, shots = [], [], []
    for centre, bits, group, shot in draw(st.lists(one, max_size=24)):
        for bit in bits:
            centre ^= 1 << bit
        marks.append(centre)
        groups.append(group)
        shots.append(shot)
    return marks, groups, shots


@given(clips(), st.integers(0, 10), st.integers(0, 3))
def test_it_finds_what_comparing_all_finds(clips, bits, within):
    within = min(within, bits)
    expected = brute_force(*clips, bits, within)
    assert find_duplicates(*clips, bits, within) == expected
    with mock.patch.object(duplicates, "MANY", -1):  # all at once
        assert find_duplicates(*clips, bits, within) == expected


@given(clips(), st.integers(0, 2))
def test_it_finds_what_comparing_all_finds_where_movement_counts(clips, kinds):
    def agree(first, other):
        return first % (kinds + 1) == other % (kinds + 1)

    assert find_duplicates(*clips, agree=agree) == brute_force(*clips, NEAR, 2, agree)


def test_each_movement_of_a_shot_is_compared_with_other_videos():
    """Two clips of a pendulum, and both again in another encoding."""
    moves = [0, 1, 0, 1]
    found = find_duplicates([5] * 4, ["a", "a", "b", "b"], [0] * 4, agree=lambda i, j: moves[i] == moves[j])
    assert found == {2: 0, 3: 1}


def test_the_windows_of_one_still_shot_are_no_copies():
    marks = [7] * 6
    assert find_duplicates(marks, ["a"] * 6, [0] * 6) == {}
    assert find_duplicates(marks, ["a"] * 6, [0, 0, 1, 1, 2, 2]) == {2: 0, 3: 0, 4: 0, 5: 0}, "a shot again"
    assert find_duplicates(marks, ["a", "a", "b", "b", "c", "c"], [0] * 6) == {2: 0, 3: 0, 4: 0, 5: 0}


def test_within_a_video_only_the_same_pictures_are_copies():
    near = 0b1111  # in four bits: another shot of the same set, or another encoding of the same film
    assert find_duplicates([0, near], ["a", "a"], [0, 1]) == {}
    assert find_duplicates([0, near], ["a", "b"], [0, 0]) == {1: 0}
    assert find_duplicates([0, 1], ["a", "a"], [0, 1]) == {1: 0}


def test_a_closer_look_may_find_that_they_are_not_the_same():
    groups = ["a", "b", "c", "d"]
    assert find_duplicates([5] * 4, groups, [0] * 4, agree=lambda i, j: (i + j) % 2 == 0) == {2: 0, 3: 1}


def test_what_is_near_a_copy_only_is_kept():
    marks = [0, (1 << NEAR) - 1, (1 << 2 * NEAR) - 1]
    assert find_duplicates(marks, [0, 1, 2], [0, 0, 0]) == {1: 0}


def test_many_clips_take_seconds():
    rng = np.random.default_rng(0)
    marks = [int(x) for x in rng.integers(0, 2**64, 20_000, np.uint64)]
    marks += [mark ^ 1 << 5 for mark in marks[:100]] + [marks[0]] * 5000
    groups = [i // 10 for i in range(20_000)] + ["copies"] * 100 + ["still"] * 5000
    start = time.perf_counter()
    found = find_duplicates(marks, groups, [0] * len(marks))
    assert found == {20_000 + i: i for i in range(100)} | {20_100 + i: 0 for i in range(5000)}
    assert time.perf_counter() - start < 20, "comparing each with each takes minutes"


def test_hours_of_a_fixed_camera_takes_seconds():
    """Half of all fingerprints is the same: that of the picture."""
    rng = np.random.default_rng(0)
    marks = [(0xDEADBEEF << 32) | int(x) for x in rng.integers(0, 2**32, 16_000)]
    start = time.perf_counter()
    assert find_duplicates(marks, ["one"] * 16_000, [0] * 16_000) == {}
    assert time.perf_counter() - start < 8, "each against each takes 20 seconds"
