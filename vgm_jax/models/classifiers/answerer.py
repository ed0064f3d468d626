"""The trunk's answerer: words of a question look, layer by layer, for what the clip says about them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.encoders import Trunk
from vgm_jax.models.encoders.trunk import PLACES
from vgm_jax.models.layers import PERIODS, Dense, time_features, unit_variance
from vgm_jax.types import Array

MOMENTS = (*PERIODS, 64.0, 256.0)  # seconds, as periods by which a clip's tokens tell when they are
STAGES = 8  # moments of a clip at which it is told where something is
SIDES = (1.0, 2.0, 4.0)  # frame sides, likewise of where they are, beside the place itself


class Answered(NamedTuple):
    """What is said to questions, and of the clip.

    Attributes:
      logits: [B answers] or [B Q answers].
      times: of each modality the times [B N] at which its tokens end.
      layout: [B T' h w sum(n + 1) + 2], what is at each of the trunk's places: logits of each property's
        "nothing" and n kinds, side by side; then x and y within the place, before a hyperbolic tangent. None
        without a layout, or a picture.
    """

    logits: Array
    times: dict[str, Array]
    layout: Array | None = None


class Answerer(nn.Module):
    """Answers of a closed list, to questions about a clip that the trunk has read.

    The words of a question, and one token more, from which the answer is read, attend to one another, and to
    the clip: to the tokens of its sound and picture, and to the places of its tubelets, which the trunk gives
    before they become one token each, and which are told where they are (several heads and layers: arXiv
    1706.03762). The clip is read once, whatever is asked, and however much.

    With a `layout` it also says what is at each place, and words see, instead of places, a token of each
    kind: what is red, and from where to where it goes. So what belongs to what is taught by labels, and need
    not be found out from answers; and there is little to look through.
    """

    answers: int
    trunk: Trunk  # of what the clip has
    words: int  # of the vocabulary, 0 being padding
    layers: int = 3
    heads: int = 4
    places: bool = True  # whether words see places; of films these are many
    layout: Sequence[int] = ()  # kinds of each property of what is at a place, such as shapes and colours
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, batch: Mapping[str, Array], present: Mapping[str, Array] | None = None) -> Answered:
        """batch: questions as "text" int32 [B L] or [B Q L], and of the clip "video" with "times", "audio".

        And "said" int32 [B S], words of its captions and subtitles. `present` as in `Trunk`, that of "said"
        as "text". Without any of these the question is answered alone. Raises ValueError as the trunk does,
        and where the vocabulary has no size.
        """
        if self.words < 2:
            raise ValueError("an answerer needs the size of its questions' vocabulary (words)")
        width, text = self.trunk.width, batch["text"]
        rows, length = text.shape[:-1], text.shape[-1]
        text = text.reshape(len(text), -1, length)
        b, q, _ = text.shape
        clip, at, counts, start, times, layout = self._clip(batch, present)

        table = self.param("words", nn.initializers.normal(1.0), (self.words, width))
        order = Dense(width, name="order")(time_features(jnp.arange(length, dtype=jnp.float32), PLACES))
        words = table[jnp.clip(text, 0, self.words - 1)] + order
        if "said" in batch:
            said = batch["said"]
            order = Dense(width, name="said_order")(time_features(jnp.arange(said.shape[1]) * 1.0, PLACES))
            mark = self.param("said", nn.initializers.normal(1.0), (width,))
            tokens = unit_variance(table[jnp.clip(said, 0, self.words - 1)] + order + mark)
            here = jnp.broadcast_to(jnp.asarray((present or {}).get("text", True), bool), (b,))
            clip = jnp.concatenate([clip, tokens.astype(self.dtype)], 1)
            at = jnp.concatenate([at, jnp.zeros((*said.shape, 2))], 1)
            counts = jnp.concatenate([counts, (said > 0) & here[:, None]], 1)
        start = start + self.param("answer", nn.initializers.normal(1.0), (width,))
        start = jnp.broadcast_to(start[:, None, None], (b, q, 1, width))
        x = jnp.concatenate([start, words], 2).astype(self.dtype)
        said = jnp.concatenate([jnp.ones((b, q, 1), bool), text > 0], 2)
        for i in range(self.layers):
            x = _Layer(self.heads, self.dtype, name=f"layer{i}")(x, said, clip, at, counts)
        found = unit_variance(x[:, :, 0].astype(jnp.float32))
        logits = Dense(self.answers, 0.3, name="answers")(found)
        return Answered(logits.reshape(*rows, self.answers), times, layout)

    def _clip(self, batch: Mapping[str, Array], present: Mapping[str, Array] | None):
        """Tokens [B N D], where they are [B N 2], which count [B N], the whole [B D], times, and the layout.

        One token more, which always counts, is what words see that find nothing.
        """
        width, b = self.trunk.width, len(batch["text"])
        nothing = self.param("nothing", nn.initializers.normal(1.0), (width,))
        tokens = [jnp.broadcast_to(nothing, (b, 1, width))]
        valid = [jnp.ones((b, 1), bool)]
        names = [name for name in self.trunk.modalities if name in batch]
        if not names:
            clip = unit_variance(tokens[0]).astype(self.dtype)
            return clip, jnp.zeros((b, 1, 2)), valid[0], jnp.zeros((b, width)), {}, None
        seen = self.trunk(batch, present)

        def when(times):
            return Dense(width, name="moments")(time_features(jnp.maximum(times, 0.0), MOMENTS))

        found = [Dense(width, name=f"of_{name}")(seen.tokens[name]) for name in names]
        times, known = [seen.times[name] for name in names], [seen.valid[name] for name in names]
        points, layout = jnp.zeros((b, 1 + sum(x.shape[1] for x in found), 2)), None
        if (self.places or self.layout) and seen.cells is not None:
            _, t, h, w, _ = seen.cells.shape
            y, x = jnp.meshgrid(*((2 * jnp.arange(n) + 1.0) / n - 1 for n in (h, w)), indexing="ij")
            at = jnp.broadcast_to(jnp.stack([x, y], -1), (b, t, h, w, 2))
            ends, visible = seen.times["video"], seen.valid["video"]
            if self.layout:
                layout = Dense(sum(self.layout) + len(self.layout) + 2, 0.3, name="layout")(seen.cells)
                cells, at = self._things(seen.cells, layout, at, visible)
                ends, visible = ends[:, :1], visible.any(1, keepdims=True)
            else:
                near = jnp.concatenate([at, *(time_features(at[..., i], SIDES) for i in (0, 1))], -1)
                cells = Dense(width, name="of_places")(seen.cells) + Dense(width, name="where")(near)
            found.append(cells.reshape(b, -1, width))
            points = jnp.concatenate([points, at.reshape(b, -1, 2)], 1)
            each = found[-1].shape[1] // ends.shape[1]
            times.append(jnp.repeat(ends, each, 1))
            known.append(jnp.repeat(visible, each, 1))
        tokens.append(jnp.concatenate(found, 1) + when(jnp.concatenate(times, 1)))
        clip = unit_variance(jnp.concatenate(tokens, 1)).astype(self.dtype)
        has = jnp.concatenate(known, 1)
        whole = seen.pooled * has.any(1, keepdims=True)
        counts = jnp.concatenate([*valid, has], 1)
        return clip, points, counts, whole, {name: seen.times[name] for name in names}, layout

    def _things(self, cells: Array, layout: Array, at: Array, visible: Array) -> tuple[Array, Array]:
        """Of each kind of each property one token [B K D], such as "what is red"; where it begins [B K 2].

        From what the layout says of places [B T h w ...], each of which counts as far as there is something
        of the kind: whether and where that is at `STAGES` moments of the clip, and what it is on the whole.
        Of several things of a kind it is their mean.
        """
        b, t, h, w, _ = cells.shape
        edges = np.cumsum([n + 1 for n in self.layout])
        *chances, within = jnp.split(layout, edges, -1)
        chances, within = [nn.softmax(x) for x in chances], jnp.tanh(within)
        weights = jnp.concatenate([x[..., 1:] for x in chances], -1).reshape(b, t, h * w, -1)
        weights *= visible[:, :, None, None]
        at = (at + within / jnp.array([w, h])).reshape(b, t, h * w, 2)
        there = weights.sum(2)  # [B T K]
        where = jnp.einsum("btpk,btpc->btkc", weights, at) / (there[..., None] + 0.1)
        seen = jnp.concatenate([cells, *chances], -1).reshape(b, t, h * w, -1)
        seen = jnp.einsum("btpk,btpc->bkc", weights, seen) / (there.sum(1)[..., None] + 0.1)
        stages = np.round(np.linspace(0, t - 1, STAGES)).astype(int)
        course = jnp.concatenate([jnp.minimum(there, 2.0)[..., None], where], -1)[:, stages]
        course = 2.0 * course.transpose(0, 2, 1, 3).reshape(b, weights.shape[-1], -1)
        kinds = self.param("kinds", nn.initializers.normal(1.0), (weights.shape[-1], self.trunk.width))
        things = Dense(self.trunk.width, name="of_things")(jnp.concatenate([seen, course], -1))
        first = jnp.argmax(there > 0.5, 1)[:, None, :, None]  # when it is seen, for what is hidden is nowhere
        return things + kinds, jnp.take_along_axis(where, first, 1)[:, 0]


class _Layer(nn.Module):
    """Words attend to one another, then to the clip; then each by itself goes through a gated MLP.

    Of the clip they are also told how much in it matched, the logarithm of what the softmax divides by, and
    where that is, the mean place of what they look at. What attention finds, a mean, is of something even
    where nothing is like what was looked for. The gate (arXiv 2002.05202) multiplies: whether what was found
    is what was asked for is a product.
    """

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, said: Array, clip: Array, at: Array, counts: Array) -> Array:
        """x [B Q L D], said bool [B Q L], clip [B N D], at [B N 2], counts bool [B N] -> [B Q L D]."""
        b, q, n, width = x.shape

        def split(y, parts):
            y = y.reshape(*y.shape[:-1], parts, self.heads, width // self.heads)
            return [y[..., i, :, :] for i in range(parts)]

        scale = (width / self.heads) ** -0.5
        queries, keys, values = split(Dense(3 * width, dtype=self.dtype, name="words")(unit_variance(x)), 3)
        logits = jnp.einsum("bqnhd,bqmhd->bqhnm", queries, keys) * scale
        logits = jnp.where(said[:, :, None, None], logits.astype(jnp.float32), -1e9)
        found = jnp.einsum("bqhnm,bqmhd->bqnhd", nn.softmax(logits).astype(self.dtype), values)
        x = x + Dense(width, 0.5, dtype=self.dtype, name="told")(found.reshape(x.shape))

        asked = unit_variance(x).reshape(b, q * n, width)
        (queries,) = split(Dense(width, dtype=self.dtype, name="asks")(asked), 1)
        keys, values = split(Dense(2 * width, dtype=self.dtype, name="clip")(clip), 2)
        logits = jnp.einsum("bnhd,bmhd->bhnm", queries, keys) * scale
        logits = jnp.where(counts[:, None, None], logits.astype(jnp.float32), -1e9)
        matched = jax.nn.logsumexp(logits, -1, keepdims=True)
        weights = jnp.exp(logits - matched).astype(self.dtype)
        found = jnp.einsum("bhnm,bmhd->bnhd", weights, values)
        # Objects are seldom near the picture's edges, at -1 and 1.
        where = 3.0 * jnp.einsum("bhnm,bmc->bnhc", weights, at.astype(self.dtype)).reshape(b, q, n, -1)
        matched = jnp.moveaxis(matched[..., 0], 1, -1).astype(self.dtype)
        found = jnp.concatenate([found.reshape(b, q, n, width), matched.reshape(b, q, n, -1)], -1)
        x = x + Dense(width, 0.5, dtype=self.dtype, name="found")(found)
        x = x + Dense(width, 0.5, dtype=self.dtype, name="where")(where)

        hidden = Dense(4 * width, dtype=self.dtype, name="widen")(unit_variance(x))
        gate, hidden = jnp.split(hidden, 2, -1)
        return x + Dense(width, dtype=self.dtype, name="narrow")(nn.silu(gate) * hidden)
