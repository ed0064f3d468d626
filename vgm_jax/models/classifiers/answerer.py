"""The trunk's answerer: words of a question look, layer by layer, for what the clip says about them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from vgm_jax.models.encoders import Trunk
from vgm_jax.models.layers import PERIODS, Attention, Cache, Dense, time_features, unit_variance
from vgm_jax.types import Array

MOMENTS = (*PERIODS, 64.0, 256.0)  # seconds, as periods by which a clip's tokens tell when they are


class Answered(NamedTuple):
    """Logits [B answers]; and of each modality but text the times [B N] at which its tokens end, seconds."""

    logits: Array
    times: dict[str, Array]


class Answerer(nn.Module):
    """Answers of a closed list, to questions that are the trunk's text.

    What the trunk makes of the question's words, and one token more, from which the answer is read, attend to
    one another and to the clip: to the tokens of its sound and picture, and to the places of its tubelets,
    which the trunk gives before they become one token each (several heads and layers: arXiv 1706.03762). The
    clip's tokens do not attend any more; so a layer costs what its keys and values do.
    """

    answers: int
    trunk: Trunk  # that reads "text"
    layers: int = 3
    heads: int = 4
    places: bool = True  # whether words see places; of films these are many
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, batch: Mapping[str, Array], present: Mapping[str, Array] | None = None) -> Answered:
        """batch: the question as "text" int32 [B L], and what there is of "video" with "times", and "audio".

        `present` as in `Trunk`. Without sound and picture the question is answered alone. Raises ValueError
        as the trunk does, and where it reads no text.
        """
        if "text" not in self.trunk.modalities:
            raise ValueError(f"an answerer's trunk reads text, not only {', '.join(self.trunk.modalities)}")
        width = self.trunk.width
        seen = self.trunk(batch, present)
        words, counts = seen.tokens["text"], seen.valid["text"]
        start = self.param("answer", nn.initializers.normal(1.0), (width,))
        x = jnp.concatenate([(seen.pooled + start)[:, None], words], 1)
        counts = jnp.concatenate([jnp.ones((len(x), 1), bool), counts], 1)

        names = [name for name in seen.tokens if name != "text"]
        tokens = [Dense(width, name=f"of_{name}")(seen.tokens[name]) for name in names]
        times, valid = [seen.times[name] for name in names], [seen.valid[name] for name in names]
        if self.places and seen.cells is not None:
            b, t, h, w, c = seen.cells.shape
            tokens.append(Dense(width, name="of_places")(seen.cells.reshape(b, t * h * w, c)))
            times.append(jnp.repeat(seen.times["video"], h * w, 1))
            valid.append(jnp.repeat(seen.valid["video"], h * w, 1))
        clip = at = known = None
        if tokens:
            at, known = jnp.concatenate(times, 1), jnp.concatenate(valid, 1)
            when = Dense(width, name="moments")(time_features(jnp.maximum(at, 0.0), MOMENTS))
            clip = unit_variance(jnp.concatenate(tokens, 1) + when).astype(self.dtype)
        # Words are said at the clip's start: the time between them and a token is when that is.
        said = jnp.zeros(counts.shape)
        for i in range(self.layers):
            past = None
            if clip is not None:
                shape = (*clip.shape[:2], 2, self.heads, width // self.heads)
                pairs = Dense(2 * width, dtype=self.dtype, name=f"clip{i}")(clip).reshape(shape)
                past = Cache(pairs[:, :, 0], pairs[:, :, 1], at, known)
            x, _ = Attention(self.heads, dtype=self.dtype, name=f"words{i}")(x, said, counts, past)
        found = unit_variance(x[:, 0].astype(jnp.float32))
        return Answered(Dense(self.answers, 0.3, name="answers")(found), {n: seen.times[n] for n in names})
