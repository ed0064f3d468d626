"""The studies of summaries: how boundaries are counted, and films as long as one likes."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from vgm_jax.data.audio import read_audio
from vgm_jax.data.decode import probe, read_frames

FOLDER = Path(__file__).parents[2] / "experiments" / "summarization"


@pytest.fixture(scope="module")
def run():
    return runpy.run_path(str(FOLDER / "run.py"))


def test_a_boundary_that_is_found_is_that_of_one(run):
    def hits(found, true):
        return run["matched"](np.array(found), np.array(true)).tolist()

    assert hits([2.0], [1.8, 2.2]) == [True, False]
    assert hits([1.9, 2.3], [1.8, 2.2]) == [True, True]
    assert hits([1.5, 2.1], [1.8, 2.4]) == [True, True], "the nearest of the first would leave none"
    assert hits([1.0, 1.1, 1.2], [1.1]) == [True]
    assert hits([0.0, 4.0], [1.0, 3.0]) == [False, False] and hits([], [1.0]) == [False]
    assert hits([10 / 24], [18 / 24]) == [True], "a third of a second off"


def test_figures_of_boundaries(run):
    found = run["figures"](np.array([6, 8, 10, 1, 4]))
    assert (found["precision"], found["recall"]) == (0.75, 0.6)
    assert found["f1"] == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert (found["recall_of_cuts"], found["recall_of_dissolves"]) == (5 / 6, 0.25)


def test_a_transition_is_what_is_over_the_threshold(run):
    p = [(0.0, 0.0)] * 3 + [(0.3, 0.4)] + [(0.0, 0.0)] * 3 + [(0.9, 0.9)] + [(0.0, 0.0)] * 3
    assert run["cuts"](p) == [8] and run["cuts"](p, 0.2) == [4, 8] and run["cuts"](p, 0.95) == []


def test_a_long_film_repeats_films_with_their_sound(tmp_path):
    long = runpy.run_path(str(FOLDER / "long.py"))
    sound = (0.5 * np.sin(np.arange(60 * 16_000) / 4)).astype(np.float32)
    films = [
        {"video": np.full((480, 16, 16, 3), grey, np.uint8), "audio": sound * loud}
        for grey, loud in ((40, 1.0), (200, 0.0))
    ]
    path = tmp_path / "film.mp4"
    long["write_film"](path, 1000, films)
    assert probe(path).seconds == pytest.approx(125.0, abs=0.2)
    shown = read_frames(path, times=[1.0, 59.0, 61.0, 119.0, 121.0])[0].mean((1, 2, 3))
    np.testing.assert_allclose(shown, [40, 40, 200, 200, 40], atol=3)
    heard = [np.abs(read_audio(path, start, 1.0)).max() for start in (30.0, 90.0, 122.0)]
    assert heard[0] > 0.3 and heard[1] < 0.05 and heard[2] > 0.3
