"""Noise, and what is asked for, to codes of what clips show and of how it moves."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.condition import ASKED, HEARD, Condition, ConditionEncoder
from vgm_jax.models.layers import MLP, Dense, leaky_relu, time_features, unit_variance
from vgm_jax.models.scene import EXACT, Asked, Codes, Known, nearer, turned, unbounded

TERMS = 16  # of what moves through a window: a line and cosines
FADE = 0.5  # part of a window of motion over which it fades in
PERIODS = (0.5, 1.0, 2.0, 8.0)  # seconds, by which times at which something is known are told apart
EDGES = 4.0  # logits of which layer is seen in a cell to a number of 1: so that edges are found early
OWN = 0.5  # what is in a cell alone, beside its layers
WIDE = 2  # numbers of a layer to one of a cell
MIXED = 48  # numbers that a cell's are made of


class ContinuousNoise(NamedTuple):
    """All the randomness of a clip.

    content float32 [B Z]; motion float32 [B K 2 M]: codes of the window of motion before a time's own, and of
    that; category int32 [B N]; window int32 [B K]: the number of each time's own.
    """

    content: jax.Array
    motion: jax.Array
    category: jax.Array
    window: jax.Array


class Trajectory(nn.Module):
    """How something moves through a window of time, and on into the next.

    Each window of `window` seconds has a random code. It gives each number a place, and a course from there,
    a line and cosines, times a gate between 0 and 1: of all that could move, most may stay still, and what
    moves may end anywhere. StyleGAN-V's trajectories (arXiv 2112.14683, sec. 3.1) pass through a point of
    each code instead: where they end is then distributed as where they start, and nothing can always go left.
    The next window's course fades in, from where the last one ended, over a part `FADE` of it.

    What is heard is of a sound, of which no few waves tell all: numbers a time, which are further terms of a
    course. It does not wait for the next window's to fade in, and what jumps there is let go over that time.
    """

    features: int
    window: float  # seconds; of the clips learned from, so that these see no fading
    width: int
    heard: int = 0  # numbers of what is heard at a time

    def setup(self):
        self.hidden = MLP((self.width,) * 2)
        self.place = Dense(self.features, gain=0.5)
        self.course = Dense((TERMS + self.heard) * self.features, gain=0.5)
        self.gate = Dense(self.features, gain=2.0)

    def __call__(
        self,
        codes: jax.Array,
        index: jax.Array,
        times: jax.Array,
        clip: jax.Array,
        heard: jax.Array | None = None,
    ) -> jax.Array:
        """codes [B K 2 M] of the window before and of a time's own, whose number is index [B K], times [B K]
        seconds, clip [B S] -> [B K features]. What the clip shows has a say in how it moves. heard: see
        `Asked`.
        """
        b, k = times.shape
        part = times / self.window - jnp.floor(times / self.window)

        def first(self):
            # One window for all: that of all clips that are learned from.
            path, sound = self.path(codes[:, 0, 1], part, clip, None if heard is None else heard[:, :, 2])
            return path + sound

        def several(self):
            parts = jnp.stack([jnp.ones_like(part), part], -1).reshape(-1, 1)
            each = jnp.repeat(clip, 2 * k, 0)
            # Of the window before what is heard at its end, twice; of its own at its beginning, and now.
            both = None if heard is None else heard[:, :, jnp.array([0, 0, 1, 2])].reshape(2 * b * k, 2, -1)
            found, sound = self.path(codes.reshape(2 * b * k, -1), parts, each, both)
            ended, own = jnp.moveaxis(found.reshape(b, k, 2, -1), 2, 0)
            come = jnp.where(index > 0, jnp.clip(part / FADE, 0.0, 1.0), 1.0)[..., None]
            come = come * come * (3.0 - 2.0 * come)
            path = ended + come * (own - ended)
            if heard is None:
                return path
            sound = sound.reshape(b, k, 2, 2, -1)
            return path + sound[:, :, 1, 1] + (1.0 - come) * (sound[:, :, 0, 0] - sound[:, :, 1, 0])

        if self.is_initializing():
            return first(self)
        return nn.cond(jnp.any(index > 0), several, first, self)

    def path(
        self, code: jax.Array, part: jax.Array, clip: jax.Array, heard: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | float]:
        """A window's: code [N M], parts of the window gone by [N P], clip [N S] -> [N P features].

        And by how much what is heard, [N Q heard], moves it: [N Q features].
        """
        hidden = self.hidden(jnp.concatenate([clip, code], -1))
        turns = jnp.arange(1, TERMS)
        waves = jnp.cos(jnp.pi * turns * part[..., None]) / (1 + 0.25 * turns)
        terms = jnp.concatenate([2.0 * part[..., None] - 1.0, waves], -1)
        course = self.course(hidden).reshape(len(code), TERMS + self.heard, self.features)
        gate = nn.sigmoid(self.gate(hidden))[:, None]
        path = self.place(hidden)[:, None] + gate * jnp.matmul(terms, course[:, :TERMS], precision=EXACT)
        if heard is None:
            return path, 0.0
        return path, gate * jnp.matmul(heard, course[:, TERMS:], precision=EXACT)


class Posterior(nn.Module):
    """Which noise what was read off a clip could have been imagined of: a normal distribution.

    The inference network of a variational autoencoder whose decoder is the imagination (arXiv 1312.6114).
    """

    size: int  # of `ContinuousNoise.content`
    width: int  # of its layers

    @nn.compact
    def __call__(self, shown: jax.Array, asked: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """shown [B N], asked [B D] -> mean and log-variance, [B size] each."""
        parts = [shown] if asked is None else [shown, asked]
        found = MLP((self.width,) * 2)(jnp.concatenate(parts, -1))
        mean, log_variance = jnp.split(Dense(2 * self.size, gain=0.5)(found), 2, -1)
        return mean, log_variance - 1.0


class Layers(nn.Module):
    """What a clip shows as content laid out in cells: layers, and of which of them a cell shows how much.

    Pictures are of few things with edges between them, such as a wall and what is behind it (layers: Wang and
    Adelson, "Representing moving images with layers", 1994). Where each cell's numbers are told for
    themselves, that a wall is the same everywhere is a coincidence. Here a cell is what layers that all cells
    share, by its shares of them, and some numbers of its own make by a small network, the same for all.
    """

    grid: int  # cells a side
    numbers: int  # a cell
    layers: int

    @nn.compact
    def __call__(self, clip: jax.Array) -> jax.Array:
        """clip [B H] -> content [B grid * grid * numbers], row by row."""
        cells, width = self.grid**2, WIDE * self.numbers
        seen = EDGES * Dense(cells * self.layers, gain=0.5, name="seen")(clip)
        seen = jax.nn.softmax(seen.reshape(-1, cells, self.layers))
        layers = Dense(self.layers * width, name="painted")(clip).reshape(-1, self.layers, width)
        own = OWN * Dense(cells * self.numbers, name="own")(clip).reshape(-1, cells, self.numbers)
        x = jnp.concatenate([seen @ layers, own], -1)  # [B cells width + numbers]
        mixed = leaky_relu(Dense(MIXED, name="mixed")(x))
        x = Dense(self.numbers, name="cells")(mixed) + Dense(self.numbers, name="straight")(x)
        return x.reshape(len(clip), -1)


class Imagination(nn.Module):
    """Noise, and what is asked for, to codes: what a clip shows, and, given that, how it moves.

    Data fall into kinds (forms, colours, ways to move), which a continuous map of one normal distribution can
    only part with bridges between them: draws from categories are inputs too.
    """

    content_dim: int
    form_dim: int
    objects: int
    motion_dim: int  # numbers of the motion code a time
    window: float
    categories: Sequence[int]
    width: int
    conditions: Sequence[str]
    classes: int
    words: int
    grid: int = 0  # cells a side over which content is laid out, and the layers that it is made of there
    layers: int = 0

    def setup(self):
        self.clip = MLP((self.width,) * 3)
        if self.layers:
            self.content = Layers(self.grid, self.content_dim // self.grid**2, self.layers)
        else:
            self.content = Dense(self.content_dim)
        self.form = Dense(self.objects * self.form_dim)
        self.what = MLP((self.width // 2,))
        # Of each object an angle, where the code has its cosine and sine: what spins does so by one number.
        asked = tuple(name for name in ASKED if name in self.conditions)
        heard = HEARD if "audio" in asked else 0
        self.trajectory = Trajectory(self.motion_dim - self.objects, self.window, self.width, heard)
        self.condition = ConditionEncoder(asked, self.classes, self.words) if asked else None
        self.known = MLP((self.width // 4,) * 2) if "image" in self.conditions else None

    def __call__(self, noise: ContinuousNoise, times: jax.Array, asked: Asked | None = None) -> Codes:
        """Noise of B clips, times [B K] seconds."""
        parts = [self.drawn(noise), noise.content]
        if self.condition:
            if self.is_initializing():
                self.ask(self.condition.example(len(times), self.window))
            asked = asked or Asked.always(jnp.zeros((len(times), self.condition.width)), times.shape[1])
            parts.append(asked.clip)
        clip = self.clip(jnp.concatenate(parts, -1))
        form = self.form(clip) if self.objects else clip[:, :0]
        form = form.reshape(len(clip), self.objects, self.form_dim)
        return self.move(unit_variance(self.content(clip)), unit_variance(form), noise, times, asked)

    def ask(self, given: dict[str, jax.Array], present: dict[str, jax.Array] | None = None) -> Condition:
        """What `models.encoders.condition.ConditionEncoder` makes of what is given."""
        return self.condition(given, present)

    def move(
        self,
        content: jax.Array,
        form: jax.Array,
        noise: ContinuousNoise,
        times: jax.Array,
        asked: Asked | None = None,
        known: Known | None = None,
    ) -> Codes:
        """What is shown, content [B C] and form [B O F], moves by the noise, and through what is known.

        Where something is known, noise and `asked` are of `times` and, after them, of `known.times`.
        """
        b, count = times.shape
        what = [content, form.reshape(b, -1), self.drawn(noise)]
        codes, through, heard = noise.motion, times, None
        if self.condition:
            asked = asked or Asked.always(jnp.zeros((b, self.condition.width)), codes.shape[1])
            codes, heard = jnp.concatenate([codes, asked.motion], -1), asked.heard
        if known is not None:
            through = jnp.concatenate([times, known.moments], 1)
        if self.known:
            what.append(self.told(known, b))
        what = self.what(jnp.concatenate(what, -1))
        numbers = self.trajectory(codes, noise.window, through, what, heard)
        if known is not None:
            numbers = self.bent(numbers[:, :count], times, numbers[:, count:], known)
        return Codes(content, form, turned(numbers, self.objects))

    def told(self, known: Known | None, rows: int) -> jax.Array:
        """What is known at the first and the last time as a vector a clip, zero where nothing is."""
        known = known or Known(*(jnp.zeros((rows, 1, *end)) for end in ((self.motion_dim,), (), ())))
        told = known.motion, known.times if known.told is None else known.told, known.valid
        motion, times, valid = (x[:, jnp.asarray(sorted({0, x.shape[1] - 1}))] for x in told)
        each = self.known(jnp.concatenate([motion, time_features(times, PERIODS)], -1))
        return jnp.einsum("bpd,bp->bd", each, valid.astype(each.dtype))

    def bent(self, numbers: jax.Array, times: jax.Array, at_known: jax.Array, known: Known) -> jax.Array:
        """Free numbers [B K N] by what they miss the known by, in between by the time that is gone."""
        missed = nearer(unbounded(known.motion, self.objects), at_known, self.objects) - at_known
        gone = times[:, :, None] - known.times[:, None]  # [B K P]
        valid = known.valid.astype(bool)[:, None]
        before = jnp.where(valid & (gone >= 0), gone, jnp.inf)
        after = jnp.where(valid & (gone < 0), -gone, jnp.inf)
        since, until = before.min(-1), after.min(-1)  # inf where nothing is known on that side
        sides = [jnp.take_along_axis(missed, x.argmin(-1)[..., None], 1) for x in (before, after)]
        later = jnp.where(jnp.isinf(since), 1.0, since / (since + until))  # 0 where until is inf
        later = jnp.where(jnp.isinf(until), 0.0, later)[..., None]
        return (
            numbers + (1 - later) * jnp.where(jnp.isinf(since)[..., None], 0.0, sides[0]) + later * sides[1]
        )

    def drawn(self, noise: ContinuousNoise) -> jax.Array:
        """Categories as vectors of a mean square of one, or less."""
        kinds = [n**0.5 * jax.nn.one_hot(noise.category[:, i], n) for i, n in enumerate(self.categories) if n]
        return jnp.concatenate([noise.content[:, :0], *kinds], -1)
