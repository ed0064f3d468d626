"""What is said of a clip when it is mirrored, or run backwards: other words, another class, or nothing.

A clip can be seen in four ways, numbered so that changes add up by exclusive or: `PLAIN`, `MIRRORED` (left
and right exchanged), `REVERSED` (backwards), and both. What is said of it in each is its views: a batch that
has "label" int32 [B] has "label_views" int32 [B 4], one that has "text" int32 [B L] has "text_views"
int32 [B 4 L], and so with "answer" and "question"; -1 is where a way of seeing it is not allowed.
`data.augmentation` picks among them on the device; here they are made, on the host.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from vgm_jax.data.text import UNKNOWN, Vocabulary
from vgm_jax.data.worded import say_as

PLAIN, MIRRORED, REVERSED = 0, 1, 2
WAYS = 4
VIEWS = "_views"  # behind the name of what they are of

_PAIRS = (("left", "right"), ("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"))
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])} | {"clockwise": "counterclockwise"}
# A word on its own or in CamelCase, maybe with an ending that keeps its meaning.
_WORDS = "left right counterclockwise counter-clockwise anticlockwise anti-clockwise clockwise".split()
_SIDE = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(_WORDS)})(?=(?:wards?|most|hand|handed)?(?![a-z]))"
    rf"|(?<![A-Z])(?:{'|'.join(word.capitalize() for word in _WORDS)})"
    r"(?=(?:wards?|most|hand|handed)?(?![a-z]))"
    rf"|(?<![A-Za-z])(?:{'|'.join(word.upper() for word in _WORDS)})(?![A-Za-z])"
)
# Where "left" and "right" are, or may be, no directions.
_UNCLEAR = re.compile(
    r"\bright (?:now|away|then|here|there|before|after|behind|at|as|when|back)\b|\b(?:all|is|that's) right\b"
    r"|\b(?:human|civil|copy)[ -]?rights?\b"
    r"|(?<!the )\bleft (?:the|a|an|his|her|their|its|for|behind|over|alone|out|unattended)\b"
    r"|\b(?:has|have|had|just|already|who|nothing|only) left\b|\bleft[- ]?overs?\b",
    re.IGNORECASE,
)


def mirror_words(text: str) -> str | None:
    """What a mirrored picture of `text` shows: left and right, clockwise and counterclockwise exchanged.

    None where "left" or "right" may mean something else ("right now", "left the room"): such a clip is better
    not mirrored. Numbers of players, signs and writing in the picture are beyond it.
    """
    if _UNCLEAR.search(text):
        return None

    def other(match: re.Match) -> str:
        word = match[0]
        swapped = _OTHER[word.lower().replace("-", "")]
        if word.isupper():
            return swapped.upper()
        return swapped.capitalize() if word[0].isupper() else swapped

    return _SIDE.sub(other, text)


def mirror_labels(names: Sequence[str]) -> np.ndarray:
    """int32 [N]: for each class, the one that its mirrored clips are of, by their names' words.

    Itself where the name speaks of no side; -1 where it does, and no class has the other side's name.
    """
    place = {_spelt(name): i for i, name in enumerate(names)}
    swapped = [mirror_words(name) for name in names]
    return np.array([place.get(_spelt(name), -1) if name is not None else -1 for name in swapped], np.int32)


def _spelt(name: str) -> str:
    return re.sub("(?:anti|counter)-?clockwise", "counterclockwise", name.lower())


def label_views(mirror: np.ndarray, reverse: np.ndarray) -> np.ndarray:
    """int32 [N 4]: what each class is when its clips are plain, mirrored, reversed, both; -1: not allowed.

    `mirror` and `reverse` are int32 [N]. Raises ValueError unless each, applied twice, changes nothing.
    """
    views = np.full((len(mirror), WAYS), -1, np.int32)
    views[:, PLAIN] = np.arange(len(mirror))
    for way, table in ((MIRRORED, mirror), (REVERSED, reverse)):
        table = np.asarray(table, np.int32)
        allowed = table >= 0
        if np.any(table[table[allowed]] != np.flatnonzero(allowed)):
            raise ValueError("a clip that is mirrored or reversed twice must be of its own class again")
        views[:, way] = table
        views[:, way | MIRRORED] = np.where(allowed, np.asarray(mirror)[table], -1)
    views[:, MIRRORED] = mirror
    return views


def text_views(text: str, vocabulary: Vocabulary, length: int) -> np.ndarray:
    """int32 [4 length]: a text's words when its clip is plain, and mirrored; -1 for what is not allowed.

    Not mirrored where `mirror_words` does not, or the other side's word is not known; never reversed, for
    words do not say what happens backwards.
    """
    views = np.full((WAYS, length), -1, np.int32)
    views[PLAIN] = vocabulary.encode(text, length)
    swapped = mirror_words(text)
    if swapped is not None:
        words = vocabulary.encode(swapped, length)
        if (words == UNKNOWN).sum() <= (views[PLAIN] == UNKNOWN).sum():
            views[MIRRORED] = words
    return views


class Viewed:
    """A source whose items say what their labels become: "label_views" int32 [4] beside "label".

    And "text_views" [4 L], "question_views" [4 L] and "answer_views" [4], beside what they are of.

    The source may declare `mirror_labels` and `reverse_labels`, int32 [num_classes], -1 where a class's clips
    must not be mirrored, or reversed. Without, mirroring goes by the classes' names (`mirror_labels`), and
    nothing labelled may be reversed.
    """

    def __init__(self, source: Any):
        self.source = source
        names = source.class_names() if hasattr(source, "class_names") else ()
        mirror = getattr(source, "mirror_labels", None)
        reverse = getattr(source, "reverse_labels", None)
        self.views = label_views(
            mirror_labels(names) if mirror is None else mirror,
            np.full(len(names), -1, np.int32) if reverse is None else reverse,
        )
        say_as(self, source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The source's item, with views of its label where it has one.

        Raises as the source does, and ValueError for a label that is none of its classes.
        """
        item = self.source[index]
        if "label" in item:
            if not 0 <= item["label"] < len(self.views):
                raise ValueError(
                    f"clip {index} has label {item['label']}, but {len(self.views)} classes are named: "
                    "what it becomes when flipped or reversed is not known; take 'flip' and 'reverse' out of "
                    "data.augment, or have the source leave labels out"
                )
            item["label" + VIEWS] = self.views[item["label"]]
        if "text" in item:
            item["text" + VIEWS] = text_views(
                self.source.caption(index), self.source.vocabulary, len(item["text"])
            )
        if "question" in item:
            asked, names = self.source.asked(index), list(self.source.answer_names())
            length = len(item["question"])
            item["question" + VIEWS] = text_views(asked.text, self.source.vocabulary, length)
            answers = np.full(WAYS, -1, np.int32)
            answers[PLAIN], swapped = item["answer"], mirror_words(asked.answer)
            answers[MIRRORED] = names.index(swapped) if swapped in names else -1
            item["answer" + VIEWS] = answers
        return item

    def __repr__(self) -> str:
        return repr(self.source)

    @property
    def description(self) -> dict[str, Any]:
        """The source's own: views follow from its classes."""
        return self.source.description

    def check(self, augmentations: Sequence[str]) -> "Viewed":
        """Itself. Raises ValueError where an augmentation could change no class, or no words, at all."""
        if "reverse" in augmentations and {"text", "question"} & set(self.source[0]):
            raise ValueError(
                "data.augment has 'reverse', but clips come with words, which do not say what happens "
                "backwards; take 'reverse' out"
            )
        if "flip" in augmentations and "more_question" in self.source[0]:
            raise ValueError(
                "data.augment has 'flip', but clips come with more questions, which are not mirrored; take "
                "'flip' out, or set data.shapeshow.more_questions=0"
            )
        for name, way in (("flip", MIRRORED), ("reverse", REVERSED)):
            if name in augmentations and len(self.views) and (self.views[:, way] < 0).all():
                raise ValueError(
                    f"data.augment has {name!r}, but none of the {len(self.views)} classes allows it: the "
                    f"source says of none what its clips become; take {name!r} out"
                )
        return self
