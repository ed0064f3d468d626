"""Clips with the words that are said of them, in a vocabulary that is learnt from the training split."""

import hashlib
from typing import Any

from vgm_jax.data.text import Vocabulary

# What sources may say of themselves, and what wraps them says too.
SAID = ("class_names", "vocabulary", "answer_names", "kind_names", "caption", "asked", "possible_captions")


def say_as(wrapper: Any, source: Any) -> None:
    """Gives a wrapper all of `SAID` that its source has and it has not."""
    for name in SAID:
        if hasattr(source, name) and not hasattr(wrapper, name):
            setattr(wrapper, name, getattr(source, name))


def learn_from(source: Any, most: int, captions: bool = True, questions: bool = False) -> Vocabulary:
    """A vocabulary of a source's captions, of what is asked about its clips (`question_answers`), or of both.

    Raises ValueError, naming the source, where there are none.
    """
    texts: list[str] = []
    if captions:
        if not hasattr(source, "caption"):
            raise ValueError(f"data.text.length: {source!r} has no captions; set it to 0")
        texts = [source.caption(i) for i in range(len(source))]
        if not any(texts):
            raise ValueError(f"data.text.length: none of the clips of {source!r} has a caption; set it to 0")
    if questions:
        texts += [question for i in range(len(source)) for question, _ in source.question_answers(i)]
    return Vocabulary.learn(texts, most)


class Worded:
    """A source whose items have "text" int32 [length], the words of their captions; none where there is none.

    Args:
      source: with `caption(index)`.
      vocabulary: of the training split's captions, whatever the split.
      length: words of a row, at least 1; what is over is cut off.
    """

    def __init__(self, source: Any, vocabulary: Vocabulary, length: int):
        self.source, self.vocabulary, self.length = source, vocabulary, length
        say_as(self, source)

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Worded({self.source!r}, {len(self.vocabulary)} words, length={self.length})"

    @property
    def description(self) -> dict[str, Any]:
        """The source's own, and what determines the words."""
        digest = hashlib.sha256(self.vocabulary.to_json().encode()).hexdigest()
        return dict(self.source.description) | {"text": {"length": self.length, "vocabulary": digest}}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The source's item, with its "text". Raises as the source does."""
        item = self.source[index]  # first: a source may find that another clip stands in for this one
        return item | {"text": self.vocabulary.encode(self.source.caption(index), self.length)}
