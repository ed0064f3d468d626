"""Captions of any source as words in batches; and what they become when clips are mirrored."""

import pickle

import jax
import numpy as np
import pytest

from vgm_jax.data.augmentation import Augmentation
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.shapeshow import ANSWERS, VOCABULARY, ShapeShow
from vgm_jax.data.text import Vocabulary
from vgm_jax.data.views import MIRRORED, PLAIN, REVERSED, Viewed, mirror_words, text_views
from vgm_jax.data.worded import Worded, learn_from

CAPTIONS = ["A dog runs left.", "a cat jumps right", "a dog jumps", "", "a bird sings"]


class Clips:
    """Five clips with captions; the last stands in for the fourth once that was asked for."""

    description = {"source": "clips"}

    def __init__(self):
        self.moved = False

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.moved |= index == 3
        return {"video": np.full((2, 4, 4, 3), index, np.uint8), "times": np.arange(2, dtype=np.float32)}

    def caption(self, index):
        return CAPTIONS[4 if index == 3 and self.moved else index]


def test_items_have_the_words_of_what_they_show():
    known = learn_from(Clips(), 100)
    assert known.words[:2] == ("a", "dog") and len(known) == 2 + 9
    source = pickle.loads(pickle.dumps(Worded(Clips(), known, 4)))
    assert len(source) == 5 and known.decode(source[0]["text"]) == "a dog runs left"
    assert source[0]["text"].dtype == np.int32 and source[2]["text"].tolist()[3] == 0
    assert known.decode(source[3]["text"]) == "a bird sings", "of the clip that stands in"
    assert set(source[1]) == {"video", "times", "text"} and source.caption(1) == CAPTIONS[1]
    other = Worded(Clips(), Vocabulary(("a", "dog")), 4)
    assert source.description["source"] == "clips" and source.description != other.description
    assert not hasattr(source, "class_names")


def test_sources_without_captions_are_refused():
    class Silent(Clips):
        def caption(self, index):
            return ""

    with pytest.raises(ValueError, match="none of the clips .* has a caption; set it to 0"):
        learn_from(Silent(), 10)
    with pytest.raises(ValueError, match="has no captions"):
        learn_from([1, 2], 10)


# ---- from a config ----


@pytest.fixture
def folder(tmp_path, recipe):
    """A config of a folder of 40 tiny videos with captions beside them, each in one split."""
    for i in range(40):
        np.save(tmp_path / f"v{i}.npy", np.full((4, 8, 8, 3), i, np.uint8))
        (tmp_path / f"v{i}.txt").write_text(f"thing number {i % 4} moves {('left', 'right')[i % 2]}")
    data = recipe("base").data.unlock()
    data.update(source="folder", path=str(tmp_path), frames=4, size=8, fps=4.0)
    data.text.length = 6
    return data


def test_all_splits_have_the_words_of_training(folder):
    sources = {split: make_source(folder, split) for split in ("train", "validation", "test")}
    vocabularies = {source.vocabulary for source in sources.values()}
    assert vocabularies == {Vocabulary.learn(map(sources["train"].caption, range(len(sources["train"]))))}
    for source in sources.values():
        item = source[0]
        assert item["text"].shape == (6,)
        assert source.vocabulary.decode(item["text"]) == source.caption(0)
    folder.text.most = 3
    few = make_source(folder, "train")
    assert len(few.vocabulary) == 5 and "?" in few.vocabulary.decode(few[0]["text"])
    folder.text.length = 0
    assert "text" not in make_source(folder, "train")[0]


def test_flipped_clips_of_a_folder_say_the_other_side(folder):
    folder.augment = ("flip",)
    source = make_source(folder, "train")
    for i in range(6):
        item = source[i]
        said = [source.vocabulary.decode(view) for view in item["text_views"][[PLAIN, MIRRORED]]]
        assert said == [source.caption(i), mirror_words(source.caption(i))] and said[0] != said[1]
        assert (item["text_views"][REVERSED:] == -1).all()
    assert "text_views" not in make_source(folder, "validation")[0]
    folder.augment = ("reverse",)
    with pytest.raises(ValueError, match="take 'reverse' out"):
        make_source(folder, "train")


def test_shapeshow_has_words_of_its_own(recipe):
    data = recipe("base").data.unlock()
    data.text.length = 5
    for name in ("shapeshow", "shapeshow_films"):
        data.update(source=name, frames=480, fps=8.0)
        with pytest.raises(ValueError, match=f"data.{name}.text=True"):
            make_source(data, "train")
    data.text.length = 0
    data.shapeshow_films.update(text=True, question=True, films=3)
    source = make_source(data, "train")
    assert len(source) == 3 and {"text", "question", "answer"} <= set(source[0])


# ---- mirrored ----


def test_a_text_is_mirrored_where_its_words_allow_it():
    known = Vocabulary("a dog runs left right the now".split())
    views = text_views("A dog runs left.", known, 5)
    assert known.decode(views[PLAIN]) == "a dog runs left" and known.decode(views[MIRRORED]) == (
        "a dog runs right"
    )
    assert (text_views("right now", known, 5)[MIRRORED] == -1).all(), "may be no side"
    one_sided = Vocabulary("a dog runs left".split())
    assert (text_views("a dog runs left", one_sided, 5)[MIRRORED] == -1).all(), "no word for it"
    assert (text_views("a cow runs", known, 5)[MIRRORED] == text_views("a cow runs", known, 5)[PLAIN]).all()


def test_flips_on_the_device_change_questions_and_answers_with_the_picture():
    plain = ShapeShow(variant="multi", size=16, question=True, text=True)
    source, flip = Viewed(plain), Augmentation(("flip",))
    rows = [i for i in range(300) if plain.asked(i).kind in ("direction", "order")][:24]
    batch = {name: np.stack([source[i][name] for i in rows]) for name in source[rows[0]]}

    seen = jax.device_get(flip(batch, jax.random.split(jax.random.key(0), len(rows))))
    flipped = 0
    for row, i in enumerate(rows):
        mirrored = not np.array_equal(seen["video"][row], batch["video"][row])
        asked = plain.asked(i)
        text, answer, caption = asked.text, asked.answer, plain.caption(i)
        if mirrored:
            assert np.array_equal(seen["video"][row], batch["video"][row][:, :, ::-1])
            text, answer, caption = mirror_words(text), mirror_words(answer), mirror_words(caption)
            flipped += text != asked.text or answer != asked.answer
        assert VOCABULARY.decode(seen["question"][row]) + "?" == text
        assert ANSWERS[seen["answer"][row]] == answer
        assert VOCABULARY.decode(seen["text"][row]) == caption
    assert flipped >= 4


def test_questions_without_views_are_not_flipped_by_mistake():
    source = ShapeShow(size=8, question=True)
    batch = {name: np.stack([source[i][name] for i in range(2)]) for name in source[0] if name != "label"}

    with pytest.raises(ValueError, match="'question' but no 'question_views'"):
        Augmentation(("flip",))(batch, jax.random.split(jax.random.key(0), 2))
