"""Words as numbers: what a text's words are, and vocabularies, learnt from texts."""

import collections
import dataclasses
import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1  # ids; those of words follow
UNSAID = "?"  # what stands for a word that is not known
_FORMAT = "vgm_jax vocabulary 1"

_APOSTROPHE = re.compile(r"(?<=\w)['\u2018\u2019\u02bc\uff07](?=\w)")
_ASCII = re.compile(r"[a-z0-9]+")
# Written without spaces; each sign is a word. Kana and ideographs.
_SIGN = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")


def split_words(text: str) -> list[str]:
    """Words of a text: runs of letters, their marks, and digits of any script, in lower case.

    Punctuation and symbols are dropped; an apostrophe within a word leaves it one ("don't": "dont"), all else
    divides ("slow-motion": two). Unicode's ways of writing one thing (full width, ligatures, accents apart)
    are one. Ideographs and kana are words of one sign.
    """
    text = _APOSTROPHE.sub("", text)
    if text.isascii():
        return _ASCII.findall(text.lower())
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    return _SIGN.sub(r" \1 ", "".join(map(_kept, _APOSTROPHE.sub("", text)))).split()


@functools.lru_cache(maxsize=2**14)
def _kept(sign: str) -> str:
    """The sign, where it is of a word; nothing for one that shows nothing; a space for what divides words."""
    kind = unicodedata.category(sign)
    return sign if kind[0] in "LMN" else "" if kind == "Cf" else " "


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words and their ids: 0 is padding, 1 any word that is not known, then `words` in their order.

    Raises ValueError for words that `split_words` would not leave as they are, or that are there twice.
    """

    words: tuple[str, ...]

    def __post_init__(self):
        for word in self.words:
            if not isinstance(word, str) or split_words(word) != [word]:
                raise ValueError(f"a vocabulary is of single words in lower case; {word!r} is none")
        if len(self._ids) != len(self.words):
            twice = next(w for w, n in collections.Counter(self.words).items() if n > 1)
            raise ValueError(f"a vocabulary has each word once; {twice!r} is there twice")

    @classmethod
    def learn(cls, texts: Iterable[str], most: int = 10_000) -> "Vocabulary":
        """The `most` most frequent words of texts, whatever the texts' order; ties by the alphabet.

        Raises ValueError where there is no word in them, or `most` is not positive.
        """
        if most < 1:
            raise ValueError(f"a vocabulary of {most} words: expected at least 1")
        counts = collections.Counter(word for text in texts for word in split_words(text))
        if not counts:
            raise ValueError("there is no word in the texts that a vocabulary was to be learnt from")
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))[:most]))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, UNKNOWN + 1)}

    def __len__(self) -> int:
        """How many ids there are, those of padding and of the unknown among them."""
        return len(self.words) + UNKNOWN + 1

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def encode(self, text: str, length: int) -> np.ndarray:
        """Ids int32 [length] of a text's words, cut off or filled up with padding.

        Raises ValueError where `length` is not positive.
        """
        if length < 1:
            raise ValueError(f"a text of {length} words: expected at least 1")
        ids = np.zeros(length, np.int32)
        found = [self._ids.get(word, UNKNOWN) for word in split_words(text)[:length]]
        ids[: len(found)] = found
        return ids

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are not known, each once, in their order."""
        return [word for word in dict.fromkeys(split_words(text)) if word not in self]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The words of ids [L], without padding, with spaces between; `UNSAID` for unknown ones.

        Raises ValueError for what is not a row of this vocabulary's ids.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or (len(ids) and not (0 <= ids.min() and ids.max() < len(self))):
            raise ValueError(f"expected ids [L] in 0..{len(self) - 1}; got {ids.tolist()}")
        said = ("", UNSAID, *self.words)
        return " ".join(said[i] for i in ids.tolist() if i != PADDING)

    def to_json(self) -> str:
        """As `from_json` reads it."""
        return json.dumps({"format": _FORMAT, "words": list(self.words)}, indent=0, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Raises ValueError for what `to_json` has not made."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not a vocabulary: {error}") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'not a vocabulary: expected {{"format": "{_FORMAT}", "words": [...]}}')
        if not isinstance(content.get("words"), list):
            raise ValueError('not a vocabulary: "words" is no list')
        return cls(tuple(content["words"]))
