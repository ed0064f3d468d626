import numpy as np
import pytest

from vgm_jax.data import sentences
from vgm_jax.data.files import cache_folder
from vgm_jax.data.sentences import Sentenced
from vgm_jax.data.sources.shapeshow import ShapeShow

CAPTIONS = ["a dog runs", "", "a bird  sings\n", "a dog runs", "a cat", "   "]


class Letters:
    """Counts of letters as vectors, and which texts it has been given."""

    size, description = 26, {"letters": 1}

    def __init__(self, stop_after=10**9):
        self.seen, self.stop_after = [], stop_after

    def of(self, texts):
        self.seen += texts
        if len(self.seen) > self.stop_after:
            raise KeyboardInterrupt
        return np.stack([counted(text) for text in texts])


def counted(text):
    return np.bincount([ord(x) - 97 for x in text if x != " "], minlength=26).astype(np.float32)


class Clips:
    """A source of captions; what is asked of clip 3 is answered by clip 2."""

    description = {"source": "clips"}

    def __init__(self, captions=CAPTIONS):
        self.captions, self.stand_ins = list(captions), {}

    def __len__(self):
        return len(self.captions)

    def __repr__(self):
        return "Clips"

    def caption(self, index):
        return self.captions[self.stand_ins.get(index, index)]

    def __getitem__(self, index):
        if index == 3:
            self.stand_ins[3] = 2
        return {"label": np.int32(index)}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sentences, "CHUNK", 2)
    return cache_folder("sentences")


def quiet(text):
    pass


def test_clips_carry_what_their_captions_mean():
    told, meaning = [], Letters()
    source = Sentenced(Clips(), meaning, told.append)
    assert len(source) == 6 and told == ["taking vectors of 3 captions, once"]
    assert meaning.seen == ["a bird sings", "a cat", "a dog runs"], "each once, without odd spaces"
    for i, said in enumerate(["a dog runs", "", "a bird sings", "a bird sings", "a cat", ""]):
        item = source[i]
        assert item["label"] == i and item["sentence"].dtype == np.float32
        np.testing.assert_array_equal(item["sentence"], counted(said), f"clip {i}")
    assert source.description == {"source": "clips", "sentence": {"letters": 1}}
    assert source.caption(4) == "a cat" and "3 captions" in repr(source)


def test_nothing_is_read_twice_not_even_after_a_stop(cache):
    with pytest.raises(KeyboardInterrupt):
        Sentenced(Clips(), Letters(stop_after=2), quiet)
    rest = Letters()
    found = Sentenced(Clips(), rest, quiet)
    assert rest.seen == ["a dog runs"], "of two files in the cache the second"
    again, shuffled = Letters(), Clips(CAPTIONS[::-1])
    np.testing.assert_array_equal(Sentenced(shuffled, again, quiet)[1]["sentence"], found[4]["sentence"])
    assert again.seen == []
    for file in cache.rglob("0.npz"):
        file.write_bytes(file.read_bytes()[:50])
    np.testing.assert_array_equal(Sentenced(Clips(), again, quiet)[0]["sentence"], found[0]["sentence"])
    assert again.seen == ["a bird sings", "a cat"], "a torn file is written again"


def test_other_captions_or_weights_are_other_vectors():
    Sentenced(Clips(), Letters(), quiet)
    other = Letters()
    Sentenced(Clips([*CAPTIONS, "a fish"]), other, quiet)
    assert "a fish" in other.seen
    changed = Letters()
    changed.description = {"letters": 2}
    Sentenced(Clips(), changed, quiet)
    assert len(changed.seen) == 3


def test_what_shapeshow_can_say_is_not_gone_through():
    source = ShapeShow("train", size=8, frames=2, fps=8.0)
    can = set(source.possible_captions())
    assert {source.caption(i) for i in range(300)} <= can and len(can) == 7 * 8 * 12
    meaning = Letters()
    found = Sentenced(source, meaning, quiet)
    assert len(found) == len(source) and set(meaning.seen) == can
    np.testing.assert_array_equal(found[7]["sentence"], counted(source.caption(7)))
    several = ShapeShow("train", size=8, frames=2, fps=8.0, variant="multi", length=20)
    assert set(several.possible_captions()) == {several.caption(i) for i in range(20)}


def test_where_nothing_is_said():
    class Silent:
        def __repr__(self):
            return "Silent"

    with pytest.raises(ValueError, match="the condition 'sentence': Silent has no captions"):
        Sentenced(Silent(), Letters(), quiet)
    with pytest.raises(ValueError, match="none of the clips of Clips has a caption"):
        Sentenced(Clips(["", " "]), Letters(), quiet)
    source = Clips()
    found = Sentenced(source, Letters(), quiet)
    source.captions[0] = "something new"
    with pytest.raises(
        ValueError, match="clip 0 of Clips has a caption that was not there .* 'something new'"
    ):
        found[0]
