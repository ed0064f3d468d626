"""What a clip is asked for by, a class, words, a sound or a sentence, as tokens and as one vector."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.encoders.audio import BANDS, HOP, WINDOW, num_windows
from vgm_jax.models.layers import ALWAYS, MLP, Attention, Dense, leaky_relu, time_features
from vgm_jax.models.scene import EXACT, Asked
from vgm_jax.types import AUDIO_RATE, SENTENCE, Array

ASKED = ("label", "text", "audio", "sentence")  # what has an encoder here
PLACES = tuple(4.0 * 2.0**i for i in range(4))  # words, as periods by which their places are told apart
WINDOWS = 3  # of the log-mel spectrogram in a token of sound: 30 ms
HEARD = 16  # numbers a token by which motion follows a sound
EACH = WINDOWS * HOP / AUDIO_RATE  # seconds from a token of sound to the next
MIDDLE = ((WINDOWS - 1) * HOP + WINDOW) / 2 / AUDIO_RATE  # seconds at which the first one's middle is


class Condition(NamedTuple):
    """What B clips are asked for by: tokens [B N D], where they count bool [B N], and all in one [B D].

    And what is heard from token to token of the sound, [B T HEARD], where there is one. Where nothing is
    asked, the vector is zero; where nothing is heard, so is that.
    """

    tokens: Array
    valid: Array
    pooled: Array
    heard: Array | None = None

    def at(self, times: Array, window: float | None = None) -> Asked:
        """What is asked for at times [B K] seconds: the same in every window; None: there is one."""
        asked = Asked.always(self.pooled, times.shape[1])
        if self.heard is None:
            return asked
        now = heard_at(self.heard, times - window * jnp.floor(times / window) if window else times)
        first, last = (jnp.broadcast_to(self.heard[:, [i]], now.shape) for i in (0, -1))
        return asked._replace(heard=jnp.stack([last, first, now], 2))


def heard_at(heard: Array, seconds: Array) -> Array:
    """Of tokens of sound [... T H], what is heard so many seconds [... K] after the first began: [... K H].

    In straight lines from the middle of one to that of the next. Of arrays of NumPy, one of NumPy.
    """
    count = heard.shape[-2]
    place = ((seconds - MIDDLE) / EACH).clip(0.0, count - 1.0)
    shares = (1.0 - abs(place[..., None] - np.arange(count, dtype=np.float32))).clip(0.0)
    return shares @ heard if isinstance(shares, np.ndarray) else jnp.matmul(shares, heard, precision=EXACT)


class ConditionEncoder(nn.Module):
    """Any of `ASKED` to a `Condition`; each may be missing, in a batch or of a clip."""

    conditions: Sequence[str]  # of `ASKED`
    classes: int = 0  # that "label" is one of
    words: int = 0  # of the vocabulary of "text", 0 being padding
    width: int = 64
    heads: int = 2

    @nn.compact
    def __call__(self, given: Mapping[str, Array], present: Mapping[str, Array] | None = None) -> Condition:
        """Encodes what is given.

        Args:
          given: some of "label" int32 [B], below 0: none; "text" int32 [B L] ids of words, of padding alone:
            none; "audio" float32 [B F 64] log-mel, F always the same; "sentence" float32 [B 384], vectors of
            length one (`models.pretrained.minilm`), of zeros alone: none.
          present: name -> bool [B], False where a clip is not asked for by it.

        Raises ValueError for an empty `given`.
        """
        names = [name for name in ASKED if name in self.conditions and name in given]
        if not names:
            raise ValueError(f"nothing is given; expected some of {', '.join(self.conditions)}")
        tokens, valid, parts, heard = [], [], [], None
        for name in ASKED:
            if name not in self.conditions:
                continue
            if name not in names:
                parts.append(jnp.zeros((len(given[names[0]]), self.width + 1)))
                continue
            part, counts, vector, *more = getattr(self, f"_{name}")(given[name])
            here = jnp.asarray((present or {}).get(name, True), bool) & counts.any(1)
            if more:
                heard = here[:, None, None] * more[0]
            tokens, valid = [*tokens, part], [*valid, counts & here[:, None]]
            parts.append(here[:, None] * jnp.concatenate([vector, jnp.ones((len(vector), 1))], -1))
        valid = jnp.concatenate(valid, 1)
        pooled = MLP((self.width, self.width), name="pool")(jnp.concatenate(parts, -1))
        return Condition(jnp.concatenate(tokens, 1), valid, valid.any(1, keepdims=True) * pooled, heard)

    def example(self, rows: int, seconds: float) -> dict[str, Array]:
        """What could be given, of so many clips of so many seconds."""
        shapes = {"label": (), "text": (1,), "audio": (num_windows(round(AUDIO_RATE * seconds)), BANDS)}
        shapes["sentence"] = (SENTENCE,)
        return {
            name: jnp.zeros((rows, *shapes[name]), "f4" if name in ("audio", "sentence") else "i4")
            for name in self.conditions
        }

    def _label(self, label: Array):
        table = self.param("classes", nn.initializers.normal(1.0), (self.classes, self.width))
        token = table[jnp.clip(label, 0, self.classes - 1)]
        return token[:, None], label[:, None] >= 0, token

    def _text(self, text: Array):
        table = self.param("words", nn.initializers.normal(1.0), (self.words, self.width))
        place = time_features(jnp.arange(text.shape[1], dtype=jnp.float32), PLACES)
        x = table[jnp.clip(text, 0, self.words - 1)] + Dense(self.width, name="places")(place)
        counts = text > 0
        x, _ = Attention(self.heads, name="sentence")(x, jnp.full(text.shape, ALWAYS), counts)
        share = counts / jnp.maximum(counts.sum(1, keepdims=True), 1)
        return x, counts, Dense(self.width, name="text")(jnp.einsum("bnd,bn->bd", x, share))

    def _audio(self, sound: Array):
        b, windows, _ = sound.shape
        count = windows // WINDOWS
        x = 0.5 * (sound[:, : count * WINDOWS] + 1.0).reshape(b, count, WINDOWS * BANDS)
        x = Dense(self.width, name="sounds")(leaky_relu(Dense(self.width, name="bands")(x)))
        # What comes when is told by a token's place: all of them side by side.
        narrow = leaky_relu(Dense(self.width // 4, name="narrow")(leaky_relu(x)))
        # Of what moves some follows what is heard at the time, and some what was heard all along: of each
        # number a mixture over time (MLP-Mixer, arXiv 2105.01601, eq. 1).
        along = leaky_relu(jnp.swapaxes(Dense(count, name="along")(jnp.swapaxes(narrow, 1, 2)), 1, 2))
        heard = Dense(self.width, name="hears")(jnp.concatenate([leaky_relu(x), along], -1))
        heard = Dense(HEARD, name="heard")(leaky_relu(heard))
        vector = Dense(self.width, name="audio")(narrow.reshape(b, -1))
        return x, jnp.ones((b, count), bool), vector, heard

    def _sentence(self, sentence: Array):
        # Of length one; a mean square of one is what the layer starts from.
        token = Dense(self.width, name="meaning")(sentence * SENTENCE**0.5)
        return token[:, None], jnp.any(sentence != 0, -1, keepdims=True), token
