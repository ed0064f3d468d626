"""Films of pictures as films of vectors: what is of which frames, and what is remembered."""

import numpy as np
import pytest

from vgm_jax.data.featured import Featured


class Films:
    """Two films of 11 frames at 4 a second, and what two annotators say."""

    description = {"source": "films", "seed": 0}
    protocol = {"budget": 0.15, "reduce": "mean"}

    def __init__(self):
        self.read = 0

    def __len__(self):
        return 2

    def film(self, index):
        self.read += 1
        level = np.arange(11, dtype=np.uint8) + 100 * index
        return {
            "video": np.broadcast_to(level[:, None, None, None], (11, 2, 2, 3)),
            "times": (np.arange(11) / 4).astype(np.float32),
            "audio": np.linspace(0, 1, 44_000).astype(np.float32),
            "importance": np.linspace(0, 1, 11).astype(np.float32),
            "shot": (np.arange(11) >= 6).astype(np.int32),
            "shots": np.array([[0, 6], [6, 11]]),
            "captions": ("a red star", "a blue disc"),
            "user_summary": np.arange(11)[None] < np.array([[6], [3]]),
            "user_scores": np.ones((2, 11)),
        }


class Means:
    modalities = ("video", "audio")

    def __init__(self, version=1, window=4):
        self.window = window
        self.description = {"version": version}

    def of_windows(self, windows, fps):
        assert fps == pytest.approx(4.0)
        return np.stack([windows["video"].mean((1, 2, 3, 4)), windows["audio"].mean(1)], 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_film_of_vectors():
    film = Featured(Films(), Means())[1]
    np.testing.assert_allclose(film["features"][:, 0], [101.5, 105.5, 109.25])  # the last frame twice
    assert (np.diff(film["features"][:2, 1]) > 0).all()
    assert film["picks"].tolist() == [0, 4, 8] and film["times"].tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_allclose(film["importance"], [0.15, 0.55, 0.9], atol=1e-6)
    assert film["shot"].tolist() == [0, 0, 1] and film["n_frames"] == 11
    assert film["user_summary"].sum(1).tolist() == [6, 3]


def test_what_a_shot_shows_is_said():
    heard = []

    class Words(Means):
        modalities = ("video", "audio", "text")

        def of_windows(self, windows, fps):
            heard.append(windows["said"])
            return super().of_windows(windows, fps)

    Featured(Films(), Words())[0]
    assert heard == [["a red star", "a red star", "a blue disc"]]


def test_vectors_are_made_once(cache):
    films = Films()
    first = Featured(films, Means())[0]
    again = Featured(films, Means())[0]
    assert films.read == 1
    assert set(first) == set(again)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    Featured(films, Means(2))[0], Featured(films, Means(window=3))[0]
    assert films.read == 3, "other vectors, other windows"
    for path in cache.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_array_equal(Featured(films, Means())[0]["features"], first["features"])
    assert films.read == 4, "a torn file is made again"


def test_what_it_says_of_itself():
    source = Featured(Films(), Means())
    assert len(source) == 2 and source.protocol == Films.protocol
    assert source.description == {"source": "films", "seed": 0, "vectors": {"version": 1}}
