"""What a generator makes when it is asked, from its parameters alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vgm_jax.data.transforms import to_float, to_uint8
from vgm_jax.models.encoders.audio import log_mel
from vgm_jax.models.encoders.condition import Condition
from vgm_jax.models.layers import unit_variance
from vgm_jax.models.scene import Asked, Codes, Known, between, turned, unbounded
from vgm_jax.tasks.codes import SMOOTH, CodeGame
from vgm_jax.tasks.sentences import Sentences
from vgm_jax.types import Array, Batch, Params

INVERSION_RATE = 0.03  # of Adam on codes, at first; falling to none by a cosine


class Sampling:
    """Of a task that has a `generator`, `codes` or None, and the `conditions` that clips are asked for by.

    Where "sentence" is one of them, `sentences` makes them of captions.
    """

    generator: Any
    codes: CodeGame | None
    conditions: tuple[str, ...]
    sentences: Sentences | None

    def view(self, source: Any) -> Any:
        """The source, its items with what clips are asked for by.

        Raises as `Sentences.view`, and ValueError where the source has more words than the generator.
        """
        known = len(getattr(source, "vocabulary", ()))
        if "text" in self.conditions and known > self.generator.words:
            raise ValueError(
                f"model.generator.words={self.generator.words}, but the data's vocabulary has {known}: "
                "set it so"
            )
        return self.sentences.view(source) if self.sentences else source

    def given(self, batch: Batch) -> dict[str, Array]:
        """What a batch's clips could be asked for by: name -> [B ...], sound as its log-mel spectrogram.

        Raises ValueError where a batch lacks a condition.
        """
        names = [name for name in self.conditions if name != "image"]
        lacking = [name for name in names if name not in batch]
        if lacking:
            raise ValueError(
                f"model.generator.conditions has {lacking[0]!r}, which the data's batches "
                f"({', '.join(batch)}) lack: see data.text.length, data.<source>.text and data.<source>.audio"
            )
        return {name: log_mel(batch[name]) if name == "audio" else batch[name] for name in names}

    @functools.partial(jax.jit, static_argnums=0)
    def generate(self, params: Params, keys: Array, times: Array, since: Array | int = 0) -> Array:
        """Clips of the given keys [B] at times [B K] seconds -> uint8 [B K H W C]. since: see `imagine`."""
        if self.codes:
            return self.paint(params, self.imagine(params, keys, times, since=since))
        return to_uint8(self.generator.apply(params, self.generator.noise(keys, times, since), times))

    def drawn(self, params: Params, keys: Array, count: int) -> Asked | None:
        """A class of each key [B], all as likely, at so many times; None where there are no classes.

        What falls into classes is made of noise alone as a class first, then one of it.
        """
        if "label" not in self.conditions:
            return None
        classes = self.generator.classes
        label = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 3), (), 0, classes))(keys)
        return Asked.always(self.codes.ask(params, {"label": label}, {}).pooled, count)

    @functools.partial(jax.jit, static_argnums=0)
    def ask(self, params: Params, given: dict[str, Array], present: dict[str, Array]) -> Condition:
        """What clips are asked for by, as `given` has it. `present`: name -> bool [B], see there."""
        return self.codes.ask(params, given, present)

    @functools.partial(jax.jit, static_argnums=0)
    def imagine(
        self,
        params: Params,
        keys: Array,
        times: Array,
        asked: Asked | None = None,
        shown: Codes | None = None,
        known: Known | None = None,
        truncation: Array | float = 1.0,
        since: Array | int = 0,
    ) -> Codes:
        """Codes of the given keys [B] at times [B K] seconds.

        Args:
          asked: what clips are asked for by, at `times` and, where something is known, at its times after.
            None, and nothing shown: a class that is drawn, where there are classes.
          shown: codes, such as a picture's, of which content and form are taken.
          known: where what is shown is at some times; needs `shown`.
          truncation: what noise is multiplied with: nearer to 0, samples are more alike and of less surprise.
          since: whole windows of motion before time zero: after hours times of float32 would be too coarse.
        """
        through = times
        if known is not None:
            through = jnp.concatenate([times, known.moments], 1)
            if known.window is not None:
                since = jnp.concatenate([jnp.full(times.shape, since, jnp.int32), known.window], 1)
        noise = self.generator.noise(keys, through, since)
        noise = noise._replace(content=truncation * noise.content, motion=truncation * noise.motion)
        if shown is None:
            asked = self.drawn(params, keys, through.shape[1]) if asked is None else asked
            return self.codes.imagine(params, noise, times, asked)
        return self.codes.move(params, shown, noise, times, asked, known)

    @functools.partial(jax.jit, static_argnums=0)
    def guided(
        self,
        params: Params,
        keys: Array,
        times: Array,
        asked: Asked,
        shown: Codes | None,
        known: Known | None,
        truncation: Array | float,
        guidance: Array | float,
        since: Array | int = 0,
    ) -> Codes:
        """`imagine`, `guidance` times as far from what the same noise is where nothing is asked for.

        Classifier-free guidance (arXiv 2207.12598, eq. 6; its w is `guidance` - 1), of codes instead of
        scores. 1: as it is; 0: nothing is asked for. Things turn as they do where it is, no further.
        """
        nothing = jax.tree.map(jnp.zeros_like, asked)
        free, found = (
            self.imagine(params, keys, times, x, shown, known, truncation, since) for x in (nothing, asked)
        )
        return self.mix(free, found, guidance)

    @functools.partial(jax.jit, static_argnums=0)
    def paint(self, params: Params, codes: Codes, still: Any = None) -> Array:
        """Codes of B clips at K times -> uint8 [B K H W C]. still: that of these clips, if it is at hand."""
        return to_uint8(self.generator.apply(params, codes, still, method="paint"))

    @functools.partial(jax.jit, static_argnums=0)
    def still(self, params: Params, codes: Codes) -> Any:
        """What of clips is painted once, by codes' content and form alone, however they move."""
        return self.generator.apply(params, codes, method="still")

    @functools.partial(jax.jit, static_argnums=0)
    def blend(self, first: Codes, second: Codes, part: Array) -> Codes:
        """Between two clips' codes of K times, of the second by `part` [K]: K clips of a time each.

        Each of them may be such clips already.
        """
        first, second = (
            x._replace(motion=jnp.swapaxes(x.motion, 0, 1)) if len(x.motion) == 1 else x
            for x in (first, second)
        )
        return self.mix(first, second, part)

    def mix(self, first: Codes, second: Codes, part: Array | float) -> Codes:
        """Between codes of B clips at the same times, of the second by `part` [B] or [], or beyond them."""
        part = jnp.asarray(part)

        def mixed(a, b):
            return a + (b - a) * part.reshape(-1, *(1,) * (a.ndim - 1))

        content, form = (unit_variance(mixed(*x)) for x in zip(first[:2], second[:2], strict=True))
        return Codes(content, form, between(first.motion, second.motion, part, self.generator.objects))

    @functools.partial(jax.jit, static_argnums=0)
    def read(self, params: Params, video: Array, times: Array) -> Codes:
        """The codes of clips uint8 [B K H W C] at times [B K]."""
        return self.codes.read(params, to_float(video), times)

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def invert(self, params: Params, video: Array, times: Array, steps: int) -> Codes:
        """The codes of clips uint8 [B K H W C] at times [B K], as read and then bettered by `steps` of Adam.

        They go down the difference between what they paint and the clips: inversion by an encoder first and
        descent then (arXiv 1609.03552, sec. 4.1).
        """
        frames, objects = to_float(video), self.generator.objects
        read = self.codes.read(params, frames, times)
        free = read._replace(motion=unbounded(read.motion, objects))

        def codes(free: Codes) -> Codes:
            return Codes(unit_variance(free.content), unit_variance(free.form), turned(free.motion, objects))

        def missed(free: Codes) -> Array:
            # A sum over clips, so that none's steps depend on the others.
            apart = jnp.square(self.codes.paint(params, codes(free)) - frames)
            return jnp.sum(jnp.mean(jnp.sqrt(apart + SMOOTH**2), (1, 2, 3, 4)))

        adam = optax.adam(optax.cosine_decay_schedule(INVERSION_RATE, max(1, steps)))

        def step(_, at: tuple[Codes, Any]) -> tuple[Codes, Any]:
            change, state = adam.update(jax.grad(missed)(at[0]), at[1])
            return optax.apply_updates(at[0], change), state

        return codes(jax.lax.fori_loop(0, steps, step, (free, adam.init(free)))[0])

    @functools.partial(jax.jit, static_argnums=0)
    def repaint(self, params: Params, video: Array, times: Array) -> Array:
        """Clips uint8 [B K H W C] at times [B K], painted from the codes read off them -> the same."""
        return self.paint(params, self.read(params, video, times))

    def asked_alike(self, params: Params, keys: Array, times: Array, given: dict[str, Array]) -> Array:
        """Clips of keys [B] at times [B K], asked for by all that is given [B ...] -> uint8 [B K H W C]."""
        asked = self.ask(params, given, {}).at(times, self.generator.window)
        return self.paint(params, self.imagine(params, keys, times, asked))
