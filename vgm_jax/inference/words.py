"""What a person writes, in a model's words."""

import difflib

import numpy as np

from vgm_jax.data.text import Vocabulary, split_words

TOLD = 10  # words that are not known, of which a message tells, at most
ALIKE = 0.75  # of a word that is not known, how near a known one is that is told instead


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
        near = {word: difflib.get_close_matches(word, vocabulary.words, 1, ALIKE) for word in unknown[:TOLD]}
        told = [repr(word) + (f" (rather {found[0]!r}?)" if found else "") for word, found in near.items()]
        told += [f"and {len(unknown) - TOLD} more"] * (len(unknown) > TOLD)
        raise ValueError(
            f"not among the {len(vocabulary.words)} words that the model knows: {', '.join(told)}"
        )
    return vocabulary.encode(text, max(least, len(words)))
