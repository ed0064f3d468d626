"""What the study of conditions reads off paths and clips."""

import runpy
from pathlib import Path

import numpy as np
import pytest

RUN = Path(__file__).parents[2] / "experiments" / "conditioning" / "run.py"
TIMES = np.arange(16) / 16


@pytest.fixture(scope="module")
def study():
    return runpy.run_path(str(RUN))


def test_a_path_turns_where_it_goes_back(study):
    there = np.abs(TIMES - 0.47) + 0.2
    track = np.stack([there, 0.3 + 0.5 * TIMES], 1)
    (at,) = study["turning_points"](track, TIMES)
    assert abs(at - 0.47) < 1 / 16
    assert len(study["turning_points"](track[:, 1:], TIMES)) == 0
    trembling = track + 0.004 * np.cos(np.pi * np.arange(16))[:, None]
    assert len(study["turning_points"](trembling, TIMES)) == 1, "steps are short"


def test_what_is_met(study):
    clicks, turns = np.array([0.2, 0.5, 0.9]), np.array([0.24, 0.7])
    assert study["met"](clicks, turns, 1 / 16) == [True, False, False]
    assert study["met"](turns, clicks, 1 / 16) == [True, False]
    assert study["met"](clicks, turns[:0], 1 / 16) == [False] * 3 and study["met"](turns[:0], clicks, 1) == []


def test_copies_of_a_frame_do_not_move_and_real_clips_do(study, monkeypatch):
    rng = np.random.default_rng(0)
    place = rng.integers(0, 8, (8, 1)) + np.arange(8)
    real = np.zeros((8, 8, 16, 16, 3), np.uint8)
    for clip, row in enumerate(place):
        for frame, x in enumerate(row):
            real[clip, frame, 4:8, x : x + 2] = rng.integers(60, 255)
    held = np.repeat(real[:, :1], 8, 1)
    looker = study["Looker"](("transnet", *study["PIXELS"]))
    found = study["movement"]({"real": looker(real), "ours": looker(real), "hold": looker(held)})
    assert set(found) == {"real", "ours", "hold"}
    assert found["hold"]["motion"] == found["hold"]["flicker"] == 0 < found["real"]["motion"]
    assert found["ours"] | {"frechet/transnet": 0, "kernel/transnet": 0} == found["real"] | {
        "frechet/transnet": 0,
        "kernel/transnet": 0,
    }
    assert abs(found["ours"]["frechet/transnet"]) < 1e-3 < found["hold"]["frechet/transnet"]
