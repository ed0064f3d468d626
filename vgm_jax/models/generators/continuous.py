"""The flagship generator: content and continuous-time motion codes to frames at arbitrary real times."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.encoders.condition import ASKED, Condition, ConditionEncoder
from vgm_jax.models.layers import MLP, Conv, Dense, enlarge, leaky_relu, time_features, unit_variance
from vgm_jax.models.scene import (
    POSE,
    Asked,
    Codes,
    Known,
    motion_dim,
    pixel_centres,
    placement,
    turned,
    unbounded,
    view,
    warp,
)

ABSENT = -8.0  # logit of an object where it is not
TERMS = 16  # of what moves through a window: a line and cosines
FADE = 0.5  # part of a window of motion over which it fades in
PERIODS = (0.5, 1.0, 2.0, 8.0)  # seconds, by which times at which something is known are told apart
SHARP = 3.0  # logits of coverage to one of colour, so that outlines are learned as fast


class ContinuousNoise(NamedTuple):
    """All the randomness of a clip.

    content float32 [B Z]; motion float32 [B K 2 M]: codes of the window of motion before a time's own, and of
    that; category int32 [B N].
    """

    content: jax.Array
    motion: jax.Array
    category: jax.Array


class Trajectory(nn.Module):
    """How something moves through a window of time, and on into the next.

    Each window of `window` seconds has a random code. It gives each number a place, and a course from there,
    a line and cosines, times a gate between 0 and 1: of all that could move, most may stay still, and what
    moves may end anywhere. StyleGAN-V's trajectories (arXiv 2112.14683, sec. 3.1) pass through a point of
    each code instead: where they end is then distributed as where they start, and nothing can always go left.
    The next window's course fades in, from where the last one ended, over a part `FADE` of it.
    """

    features: int
    window: float  # seconds; of the clips learned from, so that these see no fading
    width: int

    def setup(self):
        self.hidden = MLP((self.width,) * 2)
        self.place, self.course = Dense(self.features, gain=0.5), Dense(TERMS * self.features, gain=0.5)
        self.gate = Dense(self.features, gain=2.0)

    def __call__(self, codes: jax.Array, times: jax.Array, clip: jax.Array) -> jax.Array:
        """codes [B K 2 M] of the window before and of a time's own, times [B K] seconds, clip [B S]
        -> [B K features]. What the clip shows has a say in how it moves.
        """
        b, k = times.shape
        index = jnp.floor(times / self.window)
        part = times / self.window - index

        def first(self):
            # One window for all: that of all clips that are learned from.
            return self.path(codes[:, 0, 1], part, clip)

        def several(self):
            each = jnp.repeat(clip, k, 0)

            def path(side: int, part: jax.Array) -> jax.Array:
                found = self.path(codes[:, :, side].reshape(b * k, -1), part.reshape(b * k, 1), each)
                return found.reshape(b, k, -1)

            ended, own = path(0, jnp.ones_like(part)), path(1, part)
            come = jnp.where(index > 0, jnp.clip(part / FADE, 0.0, 1.0), 1.0)[..., None]
            return ended + come * come * (3.0 - 2.0 * come) * (own - ended)

        if self.is_initializing():
            return first(self)
        return nn.cond(jnp.any(index > 0), several, first, self)

    def path(self, code: jax.Array, part: jax.Array, clip: jax.Array) -> jax.Array:
        """A window's: code [N M], parts of the window gone by [N P], clip [N S] -> [N P features]."""
        hidden = self.hidden(jnp.concatenate([clip, code], -1))
        turns = jnp.arange(1, TERMS)
        waves = jnp.cos(jnp.pi * turns * part[..., None]) / (1 + 0.25 * turns)
        terms = jnp.concatenate([2.0 * part[..., None] - 1.0, waves], -1)
        course = terms @ self.course(hidden).reshape(len(code), TERMS, self.features)
        return self.place(hidden)[:, None] + nn.sigmoid(self.gate(hidden))[:, None] * course


class Painter(nn.Module):
    """A code to the features of a picture, from 4 x 4 (for odd sizes: up to 7 x 7) up.

    Residual blocks without normalisation or modulation (R3GAN, arXiv 2501.05441).
    """

    size: int
    channel_base: int  # channels at a size: channel_base / size ...
    channel_max: int  # ... but at most this
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array) -> jax.Array:
        """code [N Z] -> [N size size channel_base / size]."""
        size = self.size
        while size % 2 == 0 and size > 7:
            size //= 2
        width = min(self.channel_max, self.channel_base // size)
        x = Dense(size * size * width, dtype=self.dtype, name="start")(code).reshape(-1, size, size, width)
        while True:
            h = Conv(width, 3, dtype=self.dtype, name=f"block{size}_a")(leaky_relu(x))
            h = Conv(width, 1, gain=0.5, dtype=self.dtype, name=f"block{size}_b")(leaky_relu(h))
            x = x + h
            if size == self.size:
                return x
            size *= 2
            width = min(self.channel_max, self.channel_base // size)
            x = enlarge(Conv(width, 1, use_bias=False, dtype=self.dtype, name=f"enter{size}")(x))


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

    def setup(self):
        self.clip = MLP((self.width,) * 3)
        self.content = Dense(self.content_dim)
        self.form = Dense(self.objects * self.form_dim)
        self.what = MLP((self.width // 2,))
        # Of each object an angle, where the code has its cosine and sine: what spins does so by one number.
        self.trajectory = Trajectory(self.motion_dim - self.objects, self.window, self.width)
        asked = tuple(name for name in ASKED if name in self.conditions)
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
        codes, through = noise.motion, times
        if self.condition:
            asked = asked or Asked.always(jnp.zeros((b, self.condition.width)), codes.shape[1])
            codes = jnp.concatenate([codes, asked.motion], -1)
        if known is not None:
            through = jnp.concatenate([times, known.times], 1)
        if self.known:
            what.append(self.told(known, b))
        numbers = self.trajectory(codes, through, self.what(jnp.concatenate(what, -1)))
        if known is not None:
            numbers = self.bent(numbers[:, :count], times, numbers[:, count:], known)
        return Codes(content, form, turned(numbers, self.objects))

    def told(self, known: Known | None, rows: int) -> jax.Array:
        """What is known at the first and the last time as a vector a clip, zero where nothing is."""
        known = known or Known(*(jnp.zeros((rows, 1, *end)) for end in ((self.motion_dim,), (), ())))
        motion, times, valid = (x[:, jnp.asarray(sorted({0, x.shape[1] - 1}))] for x in known)
        each = self.known(jnp.concatenate([motion, time_features(times, PERIODS)], -1))
        return jnp.einsum("bpd,bp->bd", each, valid.astype(each.dtype))

    def bent(self, numbers: jax.Array, times: jax.Array, at_known: jax.Array, known: Known) -> jax.Array:
        """Free numbers [B K N] by what they miss the known by, in between by the time that is gone."""
        missed = unbounded(known.motion, self.objects) - at_known
        poses, rest = jnp.split(missed, [(POSE - 1) * self.objects], -1)
        poses = poses.reshape(*missed.shape[:2], self.objects, POSE - 1)
        whole = 2.0 * jnp.round(poses[..., 3:] / 2.0)  # turns, which are none
        poses = jnp.concatenate([poses[..., :3], poses[..., 3:] - whole], -1)
        missed = jnp.concatenate([poses.reshape(*missed.shape[:2], -1), rest], -1)
        gone = times[:, :, None] - known.times[:, None]  # [B K P]
        valid = known.valid.astype(bool)[:, None]
        before = jnp.where(valid & (gone >= 0), gone, jnp.inf)
        after = jnp.where(valid & (gone < 0), -gone, jnp.inf)
        since, until = before.min(-1), after.min(-1)  # inf where nothing is known on that side
        sides = [jax.nn.one_hot(x.argmin(-1), x.shape[-1]) @ missed for x in (before, after)]
        later = jnp.where(jnp.isinf(since), 1.0, since / (since + until))  # 0 where until is inf
        later = jnp.where(jnp.isinf(until), 0.0, later)[..., None]
        return (
            numbers + (1 - later) * jnp.where(jnp.isinf(since)[..., None], 0.0, sides[0]) + later * sides[1]
        )

    def drawn(self, noise: ContinuousNoise) -> jax.Array:
        """Categories as vectors of a mean square of one, or less."""
        kinds = [n**0.5 * jax.nn.one_hot(noise.category[:, i], n) for i, n in enumerate(self.categories) if n]
        return jnp.concatenate([noise.content[:, :0], *kinds], -1)


class Painting(nn.Module):
    """Codes to frames: objects over a ground, all painted once a clip, then placed at each time."""

    resolution: int
    channels: int
    canvas: int
    front_base: int
    front_max: int
    back_base: int
    back_max: int
    free_base: int
    objects: int
    camera: float
    free: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, codes: Codes) -> jax.Array:
        """[B K H W C], nominally in [-1, 1]."""
        b, k, _ = codes.motion.shape
        style = leaky_relu(Dense(self.width, name="style")(codes.content))
        motion = codes.motion.reshape(b * k, -1)
        frames = self.ground(style, motion)
        for i in range(self.objects):
            pose = motion[:, POSE * i : POSE * (i + 1)]
            colour, mask = self.object(codes.form[:, i], pose, str(i) if i else "")
            frames = frames + mask * (colour - frames)
        if self.free:
            frames = frames + self.change(style, motion[:, -self.free :])
        return frames.reshape(b, k, *frames.shape[1:])

    def object(self, form: jax.Array, pose: jax.Array, name: str) -> tuple[jax.Array, jax.Array]:
        """form [B F], pose [B*K 5] -> colours [B*K H W C] and coverage [B*K H W 1]."""
        size, k = self.canvas or 3 * self.resolution // 4, len(pose) // len(form)
        canvas = Painter(size, self.front_base, self.front_max, self.dtype, name="front" + name)(form)
        canvas = Conv(self.channels + 1, 1, gain=0.3, dtype=self.dtype, name="colour" + name)(
            leaky_relu(canvas)
        )
        # At first a disc in the middle. Beside the canvas, where a warp gives zero, the object is not.
        place = jnp.square(pixel_centres(size))
        there = SHARP * canvas[..., -1:] + (3.0 - 8.0 * (place[:, None] + place))[..., None] - ABSENT
        canvas = jnp.repeat(jnp.concatenate([canvas[..., :-1], there], -1), k, 0)
        front = warp(canvas, placement(pose), self.resolution).astype(jnp.float32)
        return front[..., :-1], jax.nn.sigmoid(front[..., -1:] + ABSENT)

    def ground(self, style: jax.Array, motion: jax.Array) -> jax.Array:
        """style [B S], motion [B*K M] -> [B*K H W C]."""
        k, size = len(motion) // len(style), self.resolution // 2
        if self.camera:
            size = 2 * round(size * (1 + self.camera) / 2)  # as fine as it is without a camera
        back = Painter(size, self.back_base, self.back_max, self.dtype, name="back")(style)
        back = enlarge(Conv(self.channels, 1, gain=0.5, dtype=self.dtype, name="scene")(leaky_relu(back)))
        back = jnp.repeat(back.astype(jnp.float32), k, 0)
        if self.camera:
            seen = motion[:, POSE * self.objects :][:, :3]
            back = warp(back, view(seen, self.camera), self.resolution)
        return back

    def change(self, style: jax.Array, free: jax.Array) -> jax.Array:
        """What is none of the above: style [B S], free [B*K R] -> [B*K H W C], painted for each time."""
        k = len(free) // len(style)
        code = jnp.concatenate([jnp.repeat(style, k, 0), free], -1)
        code = leaky_relu(Dense(self.width, name="free")(code))
        painter = Painter(self.resolution // 2, self.free_base, self.back_max, self.dtype, name="change")
        change = Conv(self.channels, 1, gain=0.1, dtype=self.dtype, name="changed")(leaky_relu(painter(code)))
        return enlarge(change).astype(jnp.float32)


class ContinuousGenerator(nn.Module):
    """Frames at arbitrary times from one content code and a trajectory of motion codes.

    Objects move over a background (VGAN, arXiv 1609.02612, sec. 3.1; LR-GAN, arXiv 1703.01560): all are
    painted once a clip, from content and form; at each time, motion places, turns and scales each object; a
    camera looks at a part of the background. So form and colour persist by construction, a clip costs little
    more than a picture, and edges lie at sub-pixel accuracy. `imagine` makes the codes of noise; `paint`
    paints these, and those that an encoder reads off a clip.
    """

    resolution: int
    channels: int = 3
    content_dim: int = 64
    form_dim: int = 32
    noise_dim: int = 64
    motion_dim: int = 32  # of the noise that moves, a code
    width: int = 512  # of the layers from noise to codes
    window: float = 1.0  # seconds that a random code of motion is for; best the length of the clips
    canvas: int = 0  # texels a side that an object is painted on; 0: 3/4 of the resolution
    front_base: int = 1152  # channels of an object's painter at S x S texels: front_base / S ...
    front_max: int = 192  # ... but at most this
    back_base: int = 512  # of the ground's, likewise
    back_max: int = 96
    free_base: int = 1024  # of what changes otherwise
    objects: int = 1  # later ones before earlier ones
    camera: float = 0.0  # how far it moves over the ground, in halves of the picture's side; 0: not at all
    free: int = 0  # numbers a time by which the picture changes otherwise
    categories: Sequence[int] = (64, 64)  # sizes of draws beside the normal ones
    conditions: Sequence[str] = ()  # by which clips can be asked for: "label", "text", "audio", "image"
    classes: int = 0  # that "label" is one of
    words: int = 0  # of the vocabulary of "text"
    dtype: Any = jnp.float32

    def setup(self):
        self.imagination = Imagination(
            self.content_dim,
            self.form_dim,
            self.objects,
            motion_dim(self.objects, self.camera, self.free),
            self.window,
            self.categories,
            self.width,
            self.conditions,
            self.classes,
            self.words,
        )
        fields = ("resolution", "channels", "canvas", "front_base", "front_max", "back_base", "back_max")
        fields += ("free_base", "objects", "camera", "free", "dtype")
        self.painting = Painting(**{name: getattr(self, name) for name in fields}, width=self.width // 2)

    def noise(self, keys: jax.Array, times: jax.Array) -> ContinuousNoise:
        """Noise of B clips at times [B K] in seconds: a function of each clip's key and the time alone."""
        content = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 0), (self.noise_dim,)))(keys)
        index = jnp.floor(times / self.window).astype(jnp.int32)

        def code(key, i):
            return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1), i), (self.motion_dim,))

        window = index[..., None] + jnp.arange(2)
        motion = jax.vmap(lambda k, w: jax.vmap(jax.vmap(lambda i: code(k, i)))(w))(keys, window)
        count = jnp.maximum(1, jnp.asarray(self.categories, jnp.int32))
        draw = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 2), count.shape, 0, count))
        return ContinuousNoise(content, motion, draw(keys))

    def ask(self, given: dict[str, jax.Array], present: dict[str, jax.Array] | None = None) -> Condition:
        """What clips are asked for by (`models.encoders.condition.ConditionEncoder`)."""
        return self.imagination.ask(given, present)

    def imagine(self, noise: ContinuousNoise, times: jax.Array, asked: Asked | None = None) -> Codes:
        """What clips show at times [B K] seconds."""
        return self.imagination(noise, times, asked)

    def move(
        self,
        content: jax.Array,
        form: jax.Array,
        noise: ContinuousNoise,
        times: jax.Array,
        asked: Asked | None = None,
        known: Known | None = None,
    ) -> Codes:
        """How what is shown, content [B C] and form [B O F], could move at times [B K].

        Where something is known, noise and `asked` are of `times` and, after them, of `known.times`.
        """
        return self.imagination.move(content, form, noise, times, asked, known)

    def paint(self, codes: Codes) -> jax.Array:
        """Codes -> frames [B K H W C], nominally in [-1, 1]."""
        return self.painting(codes)

    def __call__(self, noise: ContinuousNoise, times: jax.Array) -> jax.Array:
        """times [B K] seconds -> frames [B K H W C], nominally in [-1, 1]."""
        return self.paint(self.imagine(noise, times))
