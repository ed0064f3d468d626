"""ShapeShow's words: captions, questions that say nothing about their answers, combinations held out."""

import collections
import json
import re

import numpy as np
import pytest

from vgm_jax.data.sources._shapeshow_world import held_out_looks
from vgm_jax.data.sources.shapeshow import (
    ANSWERS,
    COLOURS,
    KINDS,
    MOTIONS,
    QUESTION_LENGTH,
    SHAPES,
    SOUNDS,
    TEXT_LENGTH,
    VOCABULARY,
    ShapeShow,
)

NUMBERS = ("zero", "one", "two", "three")
PLURAL = {"crosses": "cross"} | {shape + "s": shape for shape in SHAPES if shape != "cross"}
BY_PHRASE = {phrase: motion for motion, phrase in MOTIONS.items()}
VARIANTS = pytest.mark.parametrize("variant", ["single", "multi"])


def asking(variant, **options):
    return ShapeShow(variant=variant, audio=True, question=True, **{"size": 8} | options)


def meant(things, name):
    """The one object that is called so."""
    if name == "object":
        found = things
    elif name in SHAPES:
        found = [thing for thing in things if thing.shape == name]
    elif match := re.fullmatch(r"object that (.+)", name):
        found = [thing for thing in things if thing.motion == BY_PHRASE[match[1]]]
    else:
        colour = re.fullmatch(r"(\w+) object", name)[1]
        found = [thing for thing in things if thing.colour == colour]
    assert len(found) == 1, (name, things)
    return found[0]


def truth(text, clip):
    """What a question's answer is, read off the clip's ground truth by the question's words alone."""
    things = clip.objects
    if text == "what sound is there?":
        return SOUNDS[clip.sound]
    if text == "how many objects are there?":
        return NUMBERS[len(things)]
    if match := re.fullmatch(r"how many (\w+) are there\?", text):
        return NUMBERS[sum(thing.shape == PLURAL[match[1]] for thing in things)]
    if match := re.fullmatch(r"what (colour|shape) is the (.+)\?", text):
        return getattr(meant(things, match[2]), match[1])
    if match := re.fullmatch(r"which way does the (.+) move\?", text):
        thing = meant(things, match[1])
        dx, dy = (float(v[-1] - v[0]) for v in (thing.x, thing.y))
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "up" if dy < 0 else "down"
    if match := re.fullmatch(r"which way (?:of the (.+) )?does the (.+) begin\?", text):
        one = meant(things, match[2])
        other = (meant(things, match[1]).x[0], meant(things, match[1]).y[0]) if match[1] else (0.5, 0.5)
        dx, dy = float(one.x[0] - other[0]), float(one.y[0] - other[1])
        assert abs(abs(dx) - abs(dy)) > 0.05
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "up" if dy < 0 else "down"
    if match := re.fullmatch(r"does the (.+) begin (.+) the (.+)\?", text):
        one, other = meant(things, match[1]), meant(things, match[3])
        dx, dy = float(one.x[0] - other.x[0]), float(one.y[0] - other.y[0])
        far = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[match[2]]
        assert abs(far) > 0.1
        return "yes" if far > 0 else "no"
    name = re.fullmatch(r"is there an? (.+)\?", text)[1].split()
    return "yes" if any(set(name) <= {"object", thing.colour, thing.shape} for thing in things) else "no"


# ---- words ----


@VARIANTS
def test_captions_are_known_words_and_fit(variant):
    source = ShapeShow(variant=variant, size=8, frames=2, text=True)
    for i in range(300):
        item = source[i]
        assert item["text"].shape == (TEXT_LENGTH,) and item["text"].dtype == np.int32
        assert VOCABULARY.decode(item["text"]) == source.caption(i)
    longest = " and ".join(["a red circle circles clockwise"] * 3)
    assert VOCABULARY.decode(VOCABULARY.encode(longest, TEXT_LENGTH)) == longest


def test_words_of_version_1_never_move():
    """What is new comes at the end; checkpoints know words by their numbers."""
    assert VOCABULARY.encode("a red circle moves left and an orange heart speeds off", 11).tolist() == (
        [2, 5, 13, 20, 21, 4, 3, 9, 18, 33, 34]
    )
    assert VOCABULARY.encode("what colour is the object that moves left", 8).tolist() == (
        [53, 61, 57, 60, 45, 69, 20, 21]
    )
    assert ANSWERS[:3] == ("yes", "no", "zero") and ANSWERS.index("left") == 21 and len(ANSWERS) == 29
    assert KINDS == ("count", "colour", "shape", "direction", "order", "sound", "existence")
    assert not VOCABULARY.unknown(" ".join((*ANSWERS, *COLOURS, *SHAPES, *MOTIONS.values())))


# ---- questions ----


@VARIANTS
def test_answers_are_true_of_what_is_shown(variant):
    source = asking(variant)
    kinds, forms = collections.Counter(), set()
    for i in range(400):
        question, clip = source.asked(i), source.clip(i)
        assert truth(question.text, clip) == question.answer, (i, question, clip.caption)
        assert question.moments == ((0.0, 1.0),)
        kinds[question.kind] += 1
        forms.add(" ".join(question.text.split()[:2]))
    expected = set(KINDS) - ({"count", "order"} if variant == "single" else set())
    assert set(kinds) == expected and min(kinds.values()) > 0.6 * 400 / len(expected)
    assert len(forms) >= 5


@VARIANTS
def test_the_question_alone_says_nothing(variant, surprise, gain):
    source = asking(variant)
    questions = [source.asked(i) for i in range(4000)]
    deviations, better = surprise(questions), gain(questions)
    assert set(better) == {q.kind for q in questions}
    assert max(deviations.values()) < 4.5, deviations
    assert max(better.values()) < 4, better
    # These measures do find what is not balanced: of every twelfth yes, a no is made.
    skewed = [
        q if q.answer != "yes" or i % 12 else type(q)(q.kind, q.text, "no", q.choices)
        for i, q in enumerate(questions * 3)
    ]
    assert surprise(skewed)["existence"] > 4.5


@VARIANTS
def test_items_clips_and_captions_of_an_index_agree(variant):
    source = asking(variant, text=True, track=True, label="look")
    for i in range(40):
        item, clip, question = source[i], source.clip(i), source.asked(i)
        np.testing.assert_array_equal(item["video"], clip.video)
        np.testing.assert_array_equal(item["audio"], clip.audio)
        assert source.caption(i) == clip.caption == VOCABULARY.decode(item["text"])
        assert item["question"].shape == (QUESTION_LENGTH,) and item["question"].dtype == np.int32
        assert VOCABULARY.decode(item["question"]) + "?" == question.text
        assert source.answer_names()[item["answer"]] == question.answer
        assert source.kind_names()[item["kind"]] == question.kind
        assert item["answer"].dtype == item["kind"].dtype == np.int32
        bigger = asking(variant, size=16, frames=32, fps=32.0)
        assert bigger.asked(i) == question and bigger.caption(i) == clip.caption


@VARIANTS
def test_more_questions_about_a_clip_are_true_of_it_and_leave_it_as_it_is(variant):
    source, more = asking(variant), asking(variant, more_questions=6)
    kinds, rows = collections.Counter(), 0
    for i in range(60):
        item, clip, texts = more[i], more.clip(i), []
        assert more.asked(i) == source.asked(i) and np.array_equal(item["video"], source[i]["video"])
        words, answers, names = (item[f"more_{name}"] for name in ("question", "answer", "kind"))
        assert len(words) == len(answers) == len(names) == 6 and answers.dtype == words.dtype == np.int32
        for row, answer, kind in zip(words, answers, names, strict=True):
            assert (kind < 0) == (answer < 0) == (not row.any())
            if kind >= 0:
                texts.append(VOCABULARY.decode(row) + "?")
                assert truth(texts[-1], clip) == ANSWERS[answer], (i, texts[-1], clip.caption)
                kinds[more.kind_names()[kind]] += 1
        assert len(set(texts)) >= len(texts) - 2
        rows += len(texts)
    assert rows > 3 * 60
    seldom = {"sound"} | ({"count", "order"} if variant == "single" else set())
    assert set(kinds) == {*KINDS, "place"} - seldom


def test_what_is_asked_about_is_seen():
    """Of each object, a tenth of a disc shows its very colour in at least a quarter of the frames."""
    source = asking("multi", size=48)
    for i in range(120):
        clip = source.clip(i)
        if source.asked(i).kind == "sound":
            continue
        for thing in clip.objects:
            near = np.abs(clip.video - 255 * np.array(thing.rgb)).max(-1) < 8
            assert (near.sum((1, 2)) > 0.1 * np.pi * (48 * thing.radius) ** 2).mean() >= 0.25


def test_sound_is_asked_of_only_where_it_is_heard():
    def kinds(**options):
        source = ShapeShow(size=8, question=True, **options)
        return {source.asked(i).kind for i in range(120)}

    assert "sound" in kinds(audio=True)
    assert kinds(audio=False) == kinds(audio=True, sound="synced") == kinds(audio=True) - {"sound"}


def test_without_a_question_clips_are_as_ever():
    plain, source = ShapeShow(), ShapeShow(text=True)
    assert all(np.array_equal(plain[i]["video"], source[i]["video"]) for i in range(20))
    assert set(source[0]) == {"video", "times", "label", "text"}
    with pytest.raises(ValueError, match="no questions are asked"):
        source.asked(0)


# ---- held out ----


def looks(source, count):
    """(shape, colour, motion) of each clip's objects, front-most first, by their captions."""
    said = [source.caption(i).split(" and ") for i in range(count)]
    rows = [[phrase.split(" ", 3)[1:] for phrase in phrases] for phrases in said]
    return [[(shape, colour, BY_PHRASE[motion]) for colour, shape, motion in row] for row in rows]


@VARIANTS
def test_training_never_shows_what_is_held_out_and_novel_shows_it(variant):
    options = dict(variant=variant, size=8, frames=1, held_out=0.3)
    seen = {
        look
        for split in ("train", "validation", "test")
        for s in looks(ShapeShow(split, **options), 700)
        for look in s
    }
    novel = looks(ShapeShow("novel", **options), 400)
    front = {objects[0] for objects in novel}
    assert not seen & front
    assert len(front) > 120
    if variant == "multi":
        assert {len(objects) for objects in novel} == {1, 2, 3}
    # Each of a new combination's parts is known from training, and so is each pair of them.
    for part in range(3):
        assert {look[part] for look in front} <= {look[part] for look in seen}


def test_a_greater_part_holds_out_more_and_the_same():
    small, large = held_out_looks(0.1), held_out_looks(0.25)
    assert small < large and len(small) == 66 and len(large) == 164 and not held_out_looks(0.0)
    assert not {(s, m) for s, _, m in large if m == "spin"} & {("circle", "spin"), ("ring", "spin")}
    assert len({(shape, colour) for shape, colour, _ in large}) > 50, "spread over all"


def test_what_is_held_out_changes_only_clips_that_showed_it():
    plain, source = ShapeShow(size=8), ShapeShow(size=8, held_out=0.2)
    same = [plain.caption(i) == source.caption(i) for i in range(300)]
    assert 0.7 < np.mean(same) < 0.9


def test_descriptions_name_younger_settings_where_they_are_used():
    assert not {"text", "question", "held_out", "more_questions"} & set(ShapeShow().description)
    source = ShapeShow("novel", held_out=0.2, text=True)
    settings = {k: v for k, v in source.description.items() if k not in ("source", "version")}
    assert json.loads(json.dumps(settings))["held_out"] == 0.2 and "text=True" in repr(source)
    assert ShapeShow(**settings).caption(3) == source.caption(3) and len(source) == 8192


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "novel"}, "train, validation, test; got 'novel'"),
        ({"held_out": 0.6}, "0..0.5"),
        ({"held_out": -0.1}, "0..0.5"),
        ({"held_out": float("nan")}, "0..0.5"),
        ({"held_out": 0.1, "question": True}, "held_out=0"),
        ({"more_questions": 2}, "0 without question=True"),
        ({"more_questions": -1, "question": True}, "must be at least 0"),
    ],
)
def test_bad_settings_say_what_is_right(options, message):
    with pytest.raises(ValueError, match=message):
        ShapeShow(**options)
