"""ShapeShow's words: the vocabulary of its captions and questions, and the closed list of answers.

Both are fixed: their order never changes within a version, and what is new comes at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vgm_jax.data.text import Vocabulary

KINDS = ("count", "colour", "shape", "direction", "order", "sound", "existence")  # of questions
# What is asked for learning alone, after those: where one thing is, which order compares of two.
PLACE = "place"
ALL_KINDS = (*KINDS, PLACE)

_COLOURS = "red green blue yellow orange purple cyan pink"
_SHAPES = "circle square triangle star cross heart ring"
_DIRECTIONS, _SOUNDS = "left right up down", "beep chirp ticks hiss"
_NUMBERS = "zero one two three"
ANSWERS = tuple(f"yes no {_NUMBERS} {_COLOURS} {_SHAPES} {_DIRECTIONS} {_SOUNDS}".split())

# In the order in which they come up, with what answers are made of.
VOCABULARY = Vocabulary(
    tuple(
        dict.fromkeys(
            f"""a an and {_COLOURS} {_SHAPES}
            moves left right up down bounces circles clockwise counterclockwise grows shrinks spins falls
            speeds off
            {" ".join(ANSWERS)} object objects squares triangles stars crosses hearts rings
            what which how many is are there the colour shape way sound does do move begin that
            of above below before after come first last in shot shots
            flash flashes pulse pulses chime chimes with as then nothing happens""".split()
        )
    )
)
TEXT_LENGTH = 20  # words of a caption's row; three objects' take 17
QUESTION_LENGTH = 16  # words of a question's row
CLIP_QUESTION_LENGTH = 11  # of what is asked about clips, and not about films, no question has more


@dataclass(frozen=True)
class Question:
    """A question about a clip or a film, and what is true of it.

    Attributes:
      kind: one of `ALL_KINDS`.
      text: such as "what colour is the circle?".
      answer: one of `ANSWERS`.
      choices: what the answer may be, by the text alone; each of them is as likely as any other.
      moments: (start, end) seconds of what the answer is seen or heard in; none where it is nowhere.
    """

    kind: str
    text: str
    answer: str
    choices: tuple[str, ...]
    moments: tuple[tuple[float, float], ...] = ()

    @property
    def item(self) -> dict[str, np.ndarray]:
        """ "question" int32 [QUESTION_LENGTH], "answer" int32 in `ANSWERS`, "kind" int32 in `ALL_KINDS`."""
        return {
            "question": VOCABULARY.encode(self.text, QUESTION_LENGTH),
            "answer": np.int32(ANSWERS.index(self.answer)),
            "kind": np.int32(ALL_KINDS.index(self.kind)),
        }


def rows_of(questions: Sequence[Question], count: int) -> dict[str, np.ndarray]:
    """At most `count` questions about a clip as rows; where there are fewer, answer and kind are -1.

    "more_question" int32 [count CLIP_QUESTION_LENGTH], "more_answer" and "more_kind" int32 [count].
    """
    words = np.zeros((count, CLIP_QUESTION_LENGTH), np.int32)
    answers, kinds = np.full((2, count), -1, np.int32)
    for i, question in enumerate(questions):
        words[i] = VOCABULARY.encode(question.text, CLIP_QUESTION_LENGTH)
        answers[i], kinds[i] = ANSWERS.index(question.answer), ALL_KINDS.index(question.kind)
    return {"more_question": words, "more_answer": answers, "more_kind": kinds}
