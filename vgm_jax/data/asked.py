"""Clips with the questions that data sets list, and the answers that are learnt from the training split."""

import bisect
import collections
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgm_jax.data.text import Vocabulary, split_words
from vgm_jax.data.worded import say_as

LENGTH = 24  # words of a question's row; what is over is cut off
NONE = -1  # the answer that is not among the known ones
KINDS = ("what", "who", "how", "when", "where", "other")  # the words that questions begin with


@dataclass(frozen=True)
class Asking:
    """A question about a clip, its answer, and its kind, one of `KINDS`."""

    text: str
    answer: str

    @property
    def kind(self) -> str:
        first = next(iter(split_words(self.text)), "")
        return first if first in KINDS else "other"


def learn_answers(source: Any, most: int) -> tuple[str, ...]:
    """The `most` most frequent answers in a source's `question_answers`; ties by the alphabet.

    Raises ValueError where there are none, or `most` is not positive.
    """
    if most < 1:
        raise ValueError(f"data.text.answers={most}: expected at least 1")
    pairs = (pair for i in range(len(source)) for pair in source.question_answers(i))
    counts = collections.Counter(answer for _, answer in pairs)
    if not counts:
        raise ValueError(f"{source!r}: nothing is asked about any of its clips")
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], answer))[:most])


class Asked:
    """A source whose items are clips with one of their questions, so that a clip is there once for each.

    Items have "question" int32 [LENGTH], "answer" int32, `NONE` where training's answers do not have it, and
    "kind" int32 in `KINDS`. Where another clip stands in for one that cannot be read, it is asked what is
    asked of it; if that is nothing, the question is empty and the answer `NONE`.

    Args:
      source: with `question_answers(index)`, (question, answer) pairs; clips without any are left out.
      vocabulary: of the training split, whatever the split; `answers` likewise.
    """

    def __init__(self, source: Any, vocabulary: Vocabulary, answers: Sequence[str]):
        self.source, self.vocabulary, self.answers = source, vocabulary, tuple(answers)
        self._place = {answer: i for i, answer in enumerate(self.answers)}
        self._ends = np.cumsum([len(source.question_answers(i)) for i in range(len(source))]).tolist()
        if hasattr(source, "caption"):
            self.caption = self._caption
        say_as(self, source)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __repr__(self) -> str:
        return f"Asked({self.source!r}, {len(self)} questions, {len(self.answers)} answers)"

    @property
    def description(self) -> dict[str, Any]:
        """The source's own, and what determines words and answers."""
        said = self.vocabulary.to_json() + json.dumps(self.answers)
        asked = {"length": LENGTH, "known": hashlib.sha256(said.encode()).hexdigest()}
        return dict(self.source.description) | {"questions": asked}

    def answer_names(self) -> tuple[str, ...]:
        """Names of the values of "answer"."""
        return self.answers

    def kind_names(self) -> tuple[str, ...]:
        """Names of the values of "kind"."""
        return KINDS

    def asked(self, index: int) -> Asking:
        """The question of an item. Raises IndexError."""
        clip, number = self._locate(index)
        pairs = self.source.question_answers(clip)
        return Asking(*pairs[number % len(pairs)]) if pairs else Asking("", "")

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The clip, and its question. Raises as the source does."""
        item = self.source[self._locate(index)[0]]  # first: another clip may stand in for this one
        asked = self.asked(index)
        return item | {
            "question": self.vocabulary.encode(asked.text, LENGTH),
            "answer": np.int32(self._place.get(asked.answer, NONE)),
            "kind": np.int32(KINDS.index(asked.kind)),
        }

    def _caption(self, index: int) -> str:
        return self.source.caption(self._locate(index)[0])

    def _locate(self, index: int) -> tuple[int, int]:
        """The clip of an item, and the number of its question."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self!r}: index {index} is not in 0..{len(self) - 1}")
        clip = bisect.bisect_right(self._ends, index)
        return clip, index - (self._ends[clip - 1] if clip else 0)
