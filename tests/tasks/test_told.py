"""What the game of codes tells of a clip, by chance."""

import itertools

import jax
import numpy as np
import pytest

from vgm_jax.models.scene import Codes
from vgm_jax.tasks.told import ALONE, KEPT, NOTHING, TOLD, conditions_told, motion_told

ROWS = 20_000


def test_clips_are_asked_for_by_nothing_by_one_alone_or_each_by_chance():
    told = jax.jit(lambda key: conditions_told(("text", "audio", "label"), ROWS, key))
    found = told(jax.random.key(0))
    assert list(found) == ["audio", "label", "text"]
    shares = {}
    for row in zip(*(np.asarray(x).tolist() for x in found.values()), strict=True):
        shares[row] = shares.get(row, 0) + 1 / ROWS
    for row in itertools.product((False, True), repeat=3):
        expected = (1 - NOTHING - ALONE) * np.prod([KEPT if x else 1 - KEPT for x in row])
        expected += NOTHING * (not any(row)) + ALONE / 3 * (sum(row) == 1)
        assert shares[row] == pytest.approx(expected, abs=0.015), row


def test_motion_is_told_at_no_time_at_one_or_at_two():
    times = np.tile(np.arange(5, dtype=np.float32) / 4, (ROWS, 1))
    motion = np.stack([times, 2 * times], -1)
    known = jax.jit(motion_told)(Codes(times, times, motion), times, jax.random.key(1))
    at, valid = np.asarray(known.times), np.asarray(known.valid)
    np.testing.assert_array_equal(known.motion, np.stack([at, 2 * at], -1))
    count = valid.sum(1)
    assert [np.mean(count == n) for n in range(3)] == pytest.approx([*TOLD, 1 - sum(TOLD)], abs=0.015)
    assert not (valid[:, 1] & ~valid[:, 0]).any(), "the first comes first"
    assert (at[:, 0] != at[:, 1]).all()
    assert np.mean(at[:, 0] == 0) == pytest.approx(0.5 + 0.5 / 5, abs=0.015)
