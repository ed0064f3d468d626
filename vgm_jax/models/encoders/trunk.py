"""The trunk: one network that picture, sound and text go into, whole or in part, and vectors come out of."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.encoders.audio import BANDS, HOP, WINDOW, log_mel
from vgm_jax.models.layers import (
    ALWAYS,
    Attention,
    Cache,
    Conv,
    Dense,
    leaky_relu,
    space_to_depth,
    time_features,
    unit_variance,
)
from vgm_jax.types import AUDIO_RATE, Array

MODALITIES = ("video", "audio", "text")
FUSIONS = ("bottleneck", "late", "concatenation")
PLACES = tuple(4.0 * 2.0**i for i in range(8))  # words, as periods by which their places are told apart
REFERENCE = 1 / 16  # seconds between frames, at which changes are taken as they are


class Encoding(NamedTuple):
    """What the trunk makes of B clips. A modality is in a dict where its key was in the batch.

    Attributes:
      tokens: name -> [B N D], after fusion: of video one a tubelet (a step of `tube` frames), of audio one a
        log-mel patch, of text one a word. Of an example that lacks the modality they mean nothing.
      valid: name -> bool [B N], where tokens count: the example has the modality, the word is no padding.
      times: name -> [B N] seconds at which each token ends; of text `layers.ALWAYS`.
      pooled: [B D], the whole clip; of a causal trunk, the clip up to its last beat.
      beats: [B K D], the same at each of the K moments at which bottlenecks are: one, or, of a causal trunk,
        the end of every tubelet (without video, of every log-mel patch).
      frames: [B T' D], tokens["video"]; None without video.
      cells: [B T' h w C], each tubelet by places, before anything of other times or modalities came in; None
        without video.
    """

    tokens: dict[str, Array]
    valid: dict[str, Array]
    times: dict[str, Array]
    pooled: Array
    beats: Array
    frames: Array | None
    cells: Array | None


class Trunk(nn.Module):
    """Layers of their own for each modality, then fusion through bottleneck tokens.

    A fused layer of a modality attends over its tokens and the bottlenecks; the bottlenecks that the layers
    of the modalities present give are averaged (MBT, arXiv 2107.00135, eq. 8-9; here with text, too). Any
    modality may be missing: as a key of the batch, or of some examples by `present`. An example without any
    gives what the bottlenecks were at first.

    A tubelet is seen by convolutions over its places (space is few cells, and time the attention's), so a
    clip costs one token a step in attention. With `causal`, whatever is said of a time depends on nothing
    later, nor, in any layer, on what is more than `horizon` seconds before, and a clip may come in pieces.
    """

    modalities: Sequence[str] = ("video", "audio")
    words: int = 0  # of the vocabulary, 0 being padding; needed for "text"
    width: int = 128
    heads: int = 4
    own: int = 1  # layers of a modality before fusion
    fused: int = 2  # layers with bottlenecks
    bottlenecks: int = 2  # tokens at each beat
    fusion: str = "bottleneck"  # or "late": pooled vectors are averaged; "concatenation": put side by side
    causal: bool = False
    horizon: float = 1.0  # seconds
    side: int = 32  # pixels that frames are resized to, antialiased
    tube: int = 2  # frames of a tubelet
    patch: int = 4  # pixels of a tubelet's patch
    entry: int = 64  # channels of the patches
    cell: int = 128  # channels of the cells, 2 x 2 patches each
    windows: int = 8  # of the log-mel spectrogram in one patch of sound, all bands
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        batch: Mapping[str, Array],
        present: Mapping[str, Array] | None = None,
        hidden: Array | None = None,
        past: dict[str, Cache] | None = None,
    ) -> Encoding | tuple[Encoding, dict[str, Cache]]:
        """Encodes clips.

        Args:
          batch: some of "video" [B T H W 3] in [-1, 1] with "times" [B T] seconds, ascending; "audio" [B S];
            "text" int32 [B L]. Other keys are passed over. Frames that do not fill a tubelet repeat the last.
          present: name -> bool [B], False where an example lacks a modality; by default it has it. Or bool
            [B N], of its tokens, False where nothing is to come of them.
          hidden: [B side/patch side/patch], 1 where patches are not to be seen, in all frames (tubes).
          past: what a causal trunk's call for the piece before gave, or `empty`: the batch then is the next
            piece, and times are seconds from the same start, "audio_start" [B] being its sound's first
            sample's. All tokens up to the piece's last beat must be in it, and none after it.

        Returns:
          An Encoding; with `past`, that and what the next piece needs.

        Raises:
          ValueError: for a batch without any of `modalities`, or settings that do not fit.
        """
        names = [name for name in MODALITIES if name in self.modalities and name in batch]
        self._check(names, batch, past)
        tokens, times, valid, has, cells = {}, {}, {}, {}, None
        for name in names:
            if name == "video":
                tokens[name], times[name], valid[name], cells = self._video(batch, hidden)
            elif name == "audio":
                tokens[name], times[name], valid[name] = self._audio(batch, piece=past is not None)
            else:
                tokens[name], times[name], valid[name] = self._text(batch)
            here = jnp.asarray((present or {}).get(name, True), bool)
            has[name] = here.any(1) if here.ndim == 2 else jnp.broadcast_to(here, len(times[name]))
            valid[name] &= here if here.ndim == 2 else has[name][:, None]
            if name == "text":
                has[name] = valid[name].any(1)

        future = {}
        layer = dict(heads=self.heads, horizon=self.horizon if self.causal else 0.0, dtype=self.dtype)

        def attend(key, x, at, counts):
            x, future[key] = Attention(**layer, name=key)(x, at, counts, past and past[key])
            return x

        for name in names:
            for i in range(self.own):
                key = f"{name}{i}"
                tokens[name] = attend(key, tokens[name], times[name], valid[name])

        beats, shared = self._beats(times, valid)
        each = dict.fromkeys(names, shared)
        at = jnp.repeat(beats, self.bottlenecks, 1)
        always = jnp.ones(at.shape, bool)
        weights = _weights(has)
        for i in range(self.fused):
            for name in names:
                n = tokens[name].shape[1]
                both = jnp.concatenate([tokens[name], each[name].astype(self.dtype)], 1)
                both = attend(
                    f"{name}_fused{i}",
                    both,
                    jnp.concatenate([times[name], at], 1),
                    jnp.concatenate([valid[name], always], 1),
                )
                tokens[name], each[name] = both[:, :n], both[:, n:]
            if self.fusion == "bottleneck":
                each = dict.fromkeys(names, _mean(each, weights, shared))
        pooled = self._pool(each, weights, shared, beats.shape[1])
        tokens = {name: unit_variance(x.astype(jnp.float32)) for name, x in tokens.items()}
        frames = tokens.get("video")
        encoding = Encoding(tokens, valid, times, pooled[:, -1], pooled, frames, cells)
        return encoding if past is None else (encoding, future)

    def _check(self, names: list[str], batch: Mapping[str, Array], past: Any) -> None:
        unknown = sorted(set(self.modalities) - set(MODALITIES))
        if unknown:
            raise ValueError(f"the trunk has no modality {unknown[0]!r}; choose from {', '.join(MODALITIES)}")
        if not names:
            raise ValueError(
                f"the trunk needs one of {', '.join(self.modalities)}; the batch has {', '.join(batch)}"
            )
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion={self.fusion!r} is unknown; choose one of {', '.join(FUSIONS)}")
        if "text" in names and self.words < 2:
            raise ValueError("a trunk that reads text needs the size of its vocabulary (words)")
        if past is not None and (not self.causal or "text" in names):
            raise ValueError("only a causal trunk, of picture and sound, takes clips in pieces")

    # ------------------------------------------------------------------ tokens
    def _video(self, batch: Mapping[str, Array], hidden: Array | None):
        """Tokens [B T' D] of tubelets, their ends [B T'], validity, and cells [B T' h w C]."""
        video, times = batch["video"], batch["times"].astype(jnp.float32)
        b, t, h, w, c = video.shape
        missing = -t % self.tube
        if missing:
            video = jnp.concatenate([video, jnp.repeat(video[:, -1:], missing, 1)], 1)
            times = jnp.concatenate([times, jnp.repeat(times[:, -1:], missing, 1)], 1)
        if (h, w) != (self.side, self.side):
            shape = (b, t + missing, self.side, self.side, c)
            video = jax.image.resize(video, shape, "linear", antialias=True)
        steps = (t + missing) // self.tube
        video = video.reshape(b, steps, self.tube, self.side, self.side, c)
        times = times.reshape(b, steps, self.tube)
        # The first frame as it is, then changes, by time and not by frame.
        rates = REFERENCE / jnp.maximum(jnp.diff(times, axis=2), REFERENCE / 4)
        changes = 2.0 * jnp.diff(video, axis=2) * rates[..., None, None, None]
        x = jnp.concatenate([video[:, :, :1], changes], 2).transpose(0, 1, 3, 4, 2, 5)
        x = x.reshape(b * steps, self.side, self.side, -1).astype(self.dtype)
        x = Dense(self.entry, dtype=self.dtype, name="patches")(space_to_depth(x, self.patch))
        if self.is_initializing() or hidden is not None:
            unseen = self.param("hidden", nn.initializers.normal(1.0), (self.entry,)).astype(self.dtype)
        if hidden is not None:
            where = jnp.repeat(jnp.asarray(hidden, bool), steps, 0)[..., None]
            x = jnp.where(where, unseen, x)
        places = self.param("places", nn.initializers.normal(0.3), (*x.shape[1:3], self.entry))
        x = leaky_relu(x + places.astype(self.dtype))
        x = leaky_relu(x + Conv(self.entry, gain=0.7, dtype=self.dtype, name="patches_block")(x))
        x = Conv(self.cell, 1, dtype=self.dtype, name="cells")(space_to_depth(x, 2))
        x = leaky_relu(x + Conv(self.cell, gain=0.7, dtype=self.dtype, name="cells_block")(leaky_relu(x)))
        cells = x.reshape(b, steps, *x.shape[1:])
        x = Dense(self.width, dtype=self.dtype, name="video")(x.reshape(b, steps, -1))
        return x, times[:, :, -1], jnp.ones((b, steps), bool), cells.astype(jnp.float32)

    def _audio(self, batch: Mapping[str, Array], piece: bool):
        """Tokens [B N D] of log-mel patches, their ends [B N], and validity; a clip has at least one."""
        audio = batch["audio"]
        least = (self.windows - 1) * HOP + WINDOW
        none = piece and audio.shape[1] < least
        if audio.shape[1] < least:
            audio = jnp.pad(audio, ((0, 0), (0, least - audio.shape[1])))
        x = log_mel(audio)
        count = 0 if none else x.shape[1] // self.windows
        x = 0.5 * (x[:, : count * self.windows] + 1.0)  # about unit variance
        x = x.reshape(len(x), count, self.windows * BANDS).astype(self.dtype)
        x = leaky_relu(Dense(2 * self.width, dtype=self.dtype, name="sounds")(x))
        x = Dense(self.width, dtype=self.dtype, name="audio")(x)
        ends = (np.arange(1, count + 1) * self.windows - 1) * HOP + WINDOW
        start = batch.get("audio_start", jnp.zeros(len(x)))
        ends = start[:, None] + (ends / AUDIO_RATE).astype(np.float32)
        return x, ends, jnp.ones(ends.shape, bool)

    def _text(self, batch: Mapping[str, Array]):
        """Tokens [B L D] of words, times that are none, and where there are words."""
        text = batch["text"]
        table = self.param("words", nn.initializers.normal(1.0), (self.words, self.width))
        place = time_features(jnp.arange(text.shape[1], dtype=jnp.float32), PLACES)
        x = table[jnp.clip(text, 0, self.words - 1)] + Dense(self.width, name="word_places")(place)
        return x.astype(self.dtype), jnp.full(text.shape, ALWAYS), text > 0

    # ------------------------------------------------------------------ bottlenecks
    def _beats(self, times: dict[str, Array], valid: dict[str, Array]) -> tuple[Array, Array]:
        """Moments [B K] at which there are bottlenecks, and what these are at first, [B K*n D]."""
        timed = [name for name in times if name != "text"]
        if self.causal and timed:
            beats = times[timed[0]]
        else:  # the last moment of which anything is known
            none = jnp.full((len(next(iter(times.values()))), 1), ALWAYS)
            known = [jnp.where(valid[name], times[name], ALWAYS) for name in timed]
            beats = jnp.concatenate([none, *known], 1).max(1, keepdims=True)
            beats = jnp.where(beats == ALWAYS, 0.0, beats)
        start = self.param("bottlenecks", nn.initializers.normal(1.0), (self.bottlenecks, self.width))
        return beats, jnp.tile(start, (len(beats), beats.shape[1], 1))

    def _pool(self, each: dict[str, Array], weights: dict[str, Array], shared: Array, beats: int) -> Array:
        """[B K D]: bottlenecks side by side, through one layer, so that each may stand for something else."""
        b = len(shared)

        def flat(x):
            return unit_variance(x.reshape(b, beats, -1).astype(jnp.float32))

        if self.fusion == "bottleneck":
            return unit_variance(Dense(self.width, name="pool")(flat(next(iter(each.values())))))
        pools = {name: Dense(self.width, name=f"pool_{name}")(flat(x)) for name, x in each.items()}
        if self.fusion == "late":
            return _mean(pools, weights, jnp.zeros((b, beats, self.width)))
        rows = [
            pools[name] * (weights[name] > 0) if name in pools else jnp.zeros((b, beats, self.width))
            for name in self.modalities
        ]
        return leaky_relu(Dense(self.width, name="pool")(jnp.concatenate(rows, -1)))

    def empty(self, rows: int, fps: float) -> dict[str, Cache]:
        """The past of a stream that has not begun: of `rows` clips of at most `fps` frames a second."""
        per_second = {"video": fps / self.tube, "audio": AUDIO_RATE / HOP / self.windows}
        names = [name for name in MODALITIES if name in self.modalities and name in per_second]
        past = {}
        for name in names:
            tokens = int(np.ceil(per_second[name] * self.horizon)) + 2
            bottlenecks = self.bottlenecks * (int(np.ceil(max(per_second.values()) * self.horizon)) + 2)
            layers = [(f"{name}{i}", tokens) for i in range(self.own)]
            # Tokens and bottlenecks come in by turns, in pieces: room for the pieces' sizes to differ.
            layers += [(f"{name}_fused{i}", 2 * (tokens + bottlenecks)) for i in range(self.fused)]
            for key, length in layers:
                kept = jnp.zeros((rows, length, self.heads, self.width // self.heads), self.dtype)
                none = jnp.zeros((rows, length), bool)
                past[key] = Cache(kept, kept, jnp.zeros((rows, length)), none)
        return past


def _weights(has: dict[str, Array]) -> dict[str, Array]:
    """Of each modality's bottlenecks in their mean, [B 1 1]; all 0 where an example has none."""
    total = jnp.maximum(sum(v.astype(jnp.float32) for v in has.values()), 1.0)
    return {name: (v / total)[:, None, None] for name, v in has.items()}


def _mean(parts: dict[str, Array], weights: dict[str, Array], none: Array) -> Array:
    """The weighted mean of [B N D]; `none` where no weight is above 0."""
    mean = sum(weights[name] * part for name, part in parts.items())
    return jnp.where(sum(weights.values()) > 0, mean, none)
