import numpy as np
import pytest

from vgm_jax.data import embedded
from vgm_jax.data.embedded import Embedded
from vgm_jax.data.sources.shapeshow import ShapeShow

FRAMES, FPS = 4, 8.0


class Means:
    """Mean colours as vectors, and how many clips it has seen."""

    description, modalities, window = {"means": 1}, ("video", "audio"), FRAMES

    def __init__(self, stop_after=10**9):
        self.seen, self.stop_after = 0, stop_after

    def of_windows(self, windows, fps):
        assert fps == FPS and set(windows) == {"video"}  # these clips have no sound
        self.seen += len(windows["video"])
        if self.seen > self.stop_after:
            raise KeyboardInterrupt
        return windows["video"].mean((1, 2, 3))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(embedded, "CHUNK", 4)


def source(**settings):
    return ShapeShow("train", size=8, frames=FRAMES, fps=FPS, **settings)


def opened(embedding, count=10, **settings):
    return Embedded(source(**settings), embedding, count, report=lambda text: None)


def test_vectors_are_those_of_clips_drawn_from_all_over():
    found = opened(Means())
    assert len(found) == 10 and found.features.dtype == np.float32 and found.indices[-1] > 1000
    for i in (0, 9):
        clip = source()[int(found.indices[i])]
        np.testing.assert_allclose(found[i]["features"], clip["video"].mean((0, 1, 2)), rtol=1e-6)
        assert found[i]["label"] == clip["label"] == found.labels[i]
    assert found.class_names() == source().class_names() and found.description["count"] == 10
    assert len(opened(Means(), 10, length=7)) == 7


def test_nothing_is_embedded_twice_not_even_after_a_stop():
    first = Means(stop_after=9)
    with pytest.raises(KeyboardInterrupt):
        opened(first)
    rest = Means()
    found = opened(rest)
    assert rest.seen == 2  # the last of 4 + 4 + 2
    again = Means()
    np.testing.assert_array_equal(opened(again).features, found.features)
    assert again.seen == 0
    other = Means()
    opened(other, seed=1)
    assert other.seen == 10


def test_clips_without_classes_are_refused():
    class Bare:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"video": np.zeros((4, 8, 8, 3), np.uint8), "times": np.arange(4) / FPS}

    with pytest.raises(ValueError, match="have no label"):
        Embedded(Bare(), Means(), 3)


class Letters:
    """The lengths of captions as vectors."""

    description, modalities, window = {"letters": 1}, ("video", "text"), FRAMES

    def of_windows(self, windows, fps):
        assert set(windows) == {"video", "said"}
        return np.array([[len(text)] for text in windows["said"]])


def test_what_is_said_of_a_clip_is_its_caption():
    for settings in ({}, {"text": True}):
        found = opened(Letters(), **settings)
        captions = [source().caption(int(i)) for i in found.indices]
        assert found.features[:, 0].tolist() == [len(caption) for caption in captions]


class Bare:
    """Clips with classes and no words; as many as one likes."""

    split, description = "test", {"source": "bare"}

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        return {"video": np.zeros((4, 8, 8, 3), np.uint8), "times": np.arange(4) / FPS, "label": 0}


def test_words_need_captions():
    with pytest.raises(ValueError, match="vectors of words need captions, which .*Bare.* has not"):
        Embedded(Bare(3), Letters(), 3)


def test_a_split_may_be_empty():
    found = Embedded(Bare(0), Means(), 3)
    assert len(found) == 0 and found.features.shape[0] == 0 and found.labels.max(initial=0) == 0
