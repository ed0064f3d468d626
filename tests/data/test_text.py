import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgm_jax.data.text import PADDING, UNKNOWN, Vocabulary, split_words

WORDS = st.lists(st.text(min_size=1).map(split_words).filter(lambda w: len(w) == 1).map(lambda w: w[0]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red circle, moving LEFT!", ["a", "red", "circle", "moving", "left"]),
        ("don't / don’t  slow-motion_2nd", ["dont", "dont", "slow", "motion", "2nd"]),
        ("rock 'n' roll's", ["rock", "n", "rolls"]),
        ("Caf\u00e9 cafe\u0301 ﬁlm ＡＢＣ", ["caf\u00e9", "caf\u00e9", "film", "abc"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("日本語カメラ ok", ["日", "本", "語", "カ", "メ", "ラ", "ok"]),
        ("co\u00adoperate 😀 ♥ —", ["cooperate"]),
        ("... \n\t", []),
    ],
)
def test_words_of_a_text(text, words):
    assert split_words(text) == words


@given(st.text())
def test_words_are_words_of_themselves(text):
    words = split_words(text)
    assert split_words(" ".join(words)) == words
    assert all(word and word == word.lower() and not word.isspace() for word in words)


def test_the_most_frequent_words_by_frequency_then_by_the_alphabet():
    texts = ["b a c", "b a", "b d", "", "..."]
    known = Vocabulary.learn(texts, most=3)
    assert known.words == ("b", "a", "c") and len(known) == 5
    assert Vocabulary.learn(reversed(texts), most=3) == known
    assert "b" in known and "d" not in known
    assert known.unknown("A d, then d b e") == ["d", "then", "e"]


def test_ids_are_filled_up_and_cut_off():
    known = Vocabulary(("red", "circle"))
    ids = known.encode("A red CIRCLE!", 5)
    assert ids.dtype == np.int32 and ids.tolist() == [UNKNOWN, 2, 3, PADDING, PADDING]
    assert known.encode("red red circle", 2).tolist() == [2, 2]
    assert known.encode("?", 2).tolist() == [0, 0]
    assert known.decode(ids) == "? red circle" and known.decode([]) == ""


@given(WORDS, st.data())
def test_known_words_come_back(words, data):
    known = Vocabulary(tuple(dict.fromkeys(words)))
    said = data.draw(st.lists(st.sampled_from(known.words))) if words else []
    assert known.decode(known.encode(" ".join(said), len(said) + 3)) == " ".join(said)
    assert Vocabulary.from_json(known.to_json()) == known


def test_a_vocabulary_does_not_change():
    known = Vocabulary(("red",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        known.words = ("blue",)
    assert hash(known) == hash(Vocabulary(("red",)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary(("Red",)), "'Red' is none"),
        (lambda: Vocabulary(("two words",)), "single words"),
        (lambda: Vocabulary((3,)), "3 is none"),
        (lambda: Vocabulary(("a", "b", "a")), "'a' is there twice"),
        (lambda: Vocabulary.learn([], 5), "no word in the texts"),
        (lambda: Vocabulary.learn(["a"], 0), "at least 1"),
        (lambda: Vocabulary(("a",)).encode("a", 0), "at least 1"),
        (lambda: Vocabulary(("a",)).decode([3]), r"in 0..2; got \[3\]"),
        (lambda: Vocabulary(("a",)).decode([-1]), "in 0..2"),
        (lambda: Vocabulary(("a",)).decode(np.zeros((2, 2), int)), r"ids \[L\]"),
        (lambda: Vocabulary.from_json("{"), "not a vocabulary"),
        (lambda: Vocabulary.from_json("[]"), "expected"),
        (lambda: Vocabulary.from_json(json.dumps({"words": ["a"]})), "format"),
        (lambda: Vocabulary.from_json(Vocabulary(("a",)).to_json().replace('[\n"a"\n]', "3")), "no list"),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
