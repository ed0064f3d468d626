"""What a person writes, in a model's words."""

import dataclasses
import difflib
from typing import Any

import numpy as np

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.data.text import Vocabulary, split_words

TOLD = 10  # words that are not known, of which a message tells, at most
ALIKE = 0.75  # of a word that is not known, how near a known one is that is told instead


@dataclasses.dataclass(frozen=True)
class Learnt(Vocabulary):
    """A vocabulary of which training had only the words `met`: others are not known, whatever their ids."""

    met: frozenset[str] = frozenset()

    def unknown(self, text: str) -> list[str]:
        """The words of a text that training never had, each once, in their order."""
        return [word for word in dict.fromkeys(split_words(text)) if word not in self.met]


def learnt(vocabulary: Vocabulary | None, data: Any) -> Vocabulary | None:
    """The vocabulary of a generator that learnt from captions of a config's `data`.

    ShapeShow's words are those of questions and films, too, which it never said of a clip.
    """
    if vocabulary is None or data.source != "shapeshow":
        return vocabulary
    met = {word for caption in ShapeShow().possible_captions() for word in split_words(caption)}
    joined = {"and"} if data.shapeshow.variant == "multi" else set()
    return Learnt(vocabulary.words, frozenset(met | joined))


def encode_known(vocabulary: Vocabulary, text: str, what: str, least: int = 1, most: int = 0) -> np.ndarray:
    """A text's ids int32 [L], L at least `least`; `what` it is, for messages.

    Raises ValueError where it has no word, or more than `most` (0: any number), or one that is not known.
    """
    words = split_words(text)
    if not words:
        raise ValueError(f"the {what} {text[:60]!r} has no word")
    if most and len(words) > most:
        raise ValueError(f"the {what} has {len(words)} words; this model reads at most {most}")
    unknown = vocabulary.unknown(text)
    if unknown:
        known = vocabulary.met if isinstance(vocabulary, Learnt) else vocabulary.words
        near = {word: difflib.get_close_matches(word, known, 1, ALIKE) for word in unknown[:TOLD]}
        told = [repr(word) + (f" (rather {found[0]!r}?)" if found else "") for word, found in near.items()]
        told += [f"and {len(unknown) - TOLD} more"] * (len(unknown) > TOLD)
        raise ValueError(f"not among the {len(known)} words that the model knows: {', '.join(told)}")
    return vocabulary.encode(text, max(least, len(words)))
