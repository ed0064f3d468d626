"""Questions of a list as items, with answers of the training split."""

import pickle

import numpy as np
import pytest

from vgm_jax.data.asked import KINDS, LENGTH, NONE, Asked, learn_answers
from vgm_jax.data.text import Vocabulary
from vgm_jax.data.views import MIRRORED, PLAIN, Viewed
from vgm_jax.data.worded import learn_from

PAIRS = [
    (("Who runs left?", "dog"), ("what does it do?", "run")),
    (),
    (("how does it look?", "green"), ("is it left?", "left"), ("who sleeps?", "dog")),
    (("what is it?", "car"),),
]


class Clips:
    """Four clips; nothing is asked of the second, which stands in for the last once that was asked for."""

    description = {"source": "clips"}

    def __init__(self):
        self.moved = False

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.moved |= index == 3
        return {"video": np.full((2, 4, 4, 3), index, np.uint8), "times": np.arange(2, dtype=np.float32)}

    def caption(self, index):
        return f"clip {index}"

    def question_answers(self, index):
        return PAIRS[1 if index == 3 and self.moved else index]


def test_each_question_is_an_item():
    words = learn_from(Clips(), 100, captions=False, questions=True)
    assert "runs" in words and "clip" not in words
    source = pickle.loads(pickle.dumps(Asked(Clips(), words, ("dog", "left"))))
    assert len(source) == 6 and source.answer_names() == ("dog", "left") and source.kind_names() == KINDS
    found = [source[i] for i in range(5)]
    assert [int(item["video"][0, 0, 0, 0]) for item in found] == [0, 0, 2, 2, 2]
    assert [int(item["answer"]) for item in found] == [0, NONE, NONE, 1, 0]
    assert [KINDS[item["kind"]] for item in found] == ["who", "what", "how", "other", "who"]
    assert words.decode(found[0]["question"]) == "who runs left" and found[0]["question"].shape == (LENGTH,)
    assert source.caption(4) == "clip 2" and source.asked(1).answer == "run"
    other = Asked(Clips(), words, ("dog", "car"))
    assert source.description["source"] == "clips" and source.description != other.description
    with pytest.raises(IndexError, match="index 6 is not in 0..5"):
        source[6]


def test_a_clip_that_stands_in_is_asked_what_is_asked_of_it():
    """Here nothing: no word, and no answer would be right."""
    words = learn_from(Clips(), 100, captions=True, questions=True)
    assert "clip" in words and "sleeps" in words
    item = Asked(Clips(), words, ("dog", "car"))[5]
    assert not item["question"].any() and item["answer"] == NONE and KINDS[item["kind"]] == "other"


def test_answers_are_the_most_frequent():
    assert learn_answers(Clips(), 3) == ("dog", "car", "green")
    assert len(learn_answers(Clips(), 100)) == 5
    with pytest.raises(ValueError, match=r"data.text.answers=0: expected at least 1"):
        learn_answers(Clips(), 0)
    silent = Clips()
    silent.question_answers = lambda index: ()
    with pytest.raises(ValueError, match="nothing is asked about any of its clips"):
        learn_answers(silent, 10)


def test_a_mirrored_clip_is_asked_what_is_seen_then():
    words = Vocabulary.learn(["is it left right who sleeps"])
    source = Viewed(Asked(Clips(), words, ("left", "right", "dog")))
    item = source[3]
    length = len(item["question"])
    views = item["question_views"].reshape(4, length)
    assert words.decode(views[PLAIN]) == "is it left" and words.decode(views[MIRRORED]) == "is it right"
    assert item["answer_views"][[PLAIN, MIRRORED]].tolist() == [0, 1]
