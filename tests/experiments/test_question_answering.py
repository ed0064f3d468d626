"""The controls of the questions' study: each takes away what it says, and nothing else."""

import runpy
from pathlib import Path

import numpy as np
import pytest

RUN = Path(__file__).parents[2] / "experiments" / "question_answering" / "run.py"
KEYS = {"video", "audio", "question", "answer"}


@pytest.fixture(scope="module")
def controls():
    return runpy.run_path(str(RUN))["CONTROLS"]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    numbers = np.arange(6, dtype=np.int32)
    video = rng.integers(0, 255, (6, 5, 2, 2, 3)).astype(np.uint8)
    audio = rng.uniform(size=(6, 40)).astype(np.float32)
    return {"video": video, "audio": audio, "question": numbers[:, None], "answer": numbers}


def test_what_changes_is_what_the_name_says(controls, batch):
    rng = np.random.default_rng(1)
    changes = {
        "all": set(),
        "question only": set(),
        "no sound": set(),
        "no picture": set(),
        "single frame": {"video"},
        "shuffled question": {"question"},
        "another clip": {"video", "audio"},
    }
    assert set(controls) == set(changes)
    for name, control in controls.items():
        found, given = control(batch, rng)
        assert {key for key in KEYS if not np.array_equal(found[key], batch[key])} == changes[name]
        gone = {"question only": {"video", "audio"}, "no sound": {"audio"}, "no picture": {"video"}}
        assert {key for key, there in given.items() if not there} == gone.get(name, set())


def test_nothing_stays_at_its_place(controls, batch):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found, _ = controls["shuffled question"](batch, rng)
        assert (found["question"] != batch["question"]).all()
        assert sorted(found["question"].ravel()) == list(range(6))
        found, _ = controls["another clip"](batch, rng)
        order = [int(np.flatnonzero((batch["audio"] == row).all(1))[0]) for row in found["audio"]]
        assert all(i != j for i, j in enumerate(order))
        np.testing.assert_array_equal(found["video"], batch["video"][order])


def test_a_frame_alone_does_not_move(controls, batch):
    found, _ = controls["single frame"](batch, np.random.default_rng(0))
    assert (found["video"] == batch["video"][:, 2:3]).all() and found["video"].shape == batch["video"].shape
