"""The second family: an autoregressive generator, each frame from those before, noise, and an action."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.layers import (
    Attention,
    Cache,
    Conv,
    Dense,
    depth_to_space,
    leaky_relu,
    space_to_depth,
    unit_variance,
)
from vgm_jax.types import Array, Params

PAINTED = -2.0  # logit, at first, of what is painted anew, beside 0 of what is taken from the last frame
SHARPEST = 0.3  # pixels, a bell's standard deviation at least: of a whole offset, 99 % is that pixel

SURE = 60.0  # how much more likely an offset is for being alike
TELLING = 1e-4  # squared difference of pixels in [-1, 1] that may be by chance
UNKNOWN = -1  # an action that is not known

Past = dict[str, Cache]


class CausalState(NamedTuple):
    """All that the next frame depends on, beside noise and action, of one size however long a stream is.

    frame, before: [B H W C] in [-1, 1], the last one and the one before it. past: keys and values of the
    frames before the last one, by layer.
    """

    frame: Array
    before: Array
    past: Past


class Made(NamedTuple):
    """What a pass makes: frames [B K H W C] in [-1, 1]; the past with them, of the same size; and how far the
    picture as a whole moves to each frame, speed [B K 2] in pixels across and down.
    """

    frames: Array
    past: Past
    speed: Array


class CausalGenerator(nn.Module):
    """Patch tokens through a block-causal transformer, one frame a pass.

    What comes in is the last frame, how it differs from the one before, how the picture as a whole moved
    between them (`displacement`; of tokens alone a speed is hard to tell), noise, and the action that leads
    to the next frame. Tokens attend to all tokens of this and of the `memory` - 1 frames before, by their
    keys and values (autoregressive adversarial post-training, arXiv 2506.09350, sec. 3.1: block-causal
    attention, a key-value cache over a window, the last frame as input).

    Out come ways in which the last frame moves, of which each place takes one, or what is painted there anew
    (a composite of what flows and what is hallucinated, as in arXiv 1808.06601, sec. 3.1). By the first way
    the picture goes on as it did, as a whole, but for what is added to its speed, which can be taught. By the
    others each place moves for itself: a distribution over offsets, as in dynamic neural advection (arXiv
    1605.07157), here a bell across and one down, wide at first: it looks further than a pixel, as bilinear
    sampling does not, and it cannot settle for no offset before actions tell them apart, as free chances did.

    A first frame is given, or made of noise alone: a learnt token a patch then stands for the last frame.
    """

    resolution: int  # height and width in pixels
    clip_fps: float  # frames a second, always
    actions: int = 0  # kinds of actions, ints from 0; 0: it takes none
    idle: int = 0  # the one that stands for doing nothing
    patch: int = 8  # pixels, a power of two and at least 4
    width: int = 128
    heads: int = 4
    depth: int = 3
    memory: int = 4  # frames that attention sees, the last one included
    noise_dim: int = 32  # numbers a frame
    flows: int = 1  # ways to move beside that of the picture as a whole
    reach: int = 8  # pixels that something may move from frame to frame
    cell: int = 64  # channels of the cells that patches are made of, half a patch wide
    texture: int = 96  # channels of the convolutions that paint, at the cells' resolution
    channels: int = 3
    dtype: Any = jnp.float32

    def noise(self, keys: Array, steps: Array) -> Array:
        """Standard normal [B K noise_dim] of keys [B] and frames' numbers int [B K]: a frame's is its own."""

        def one(key, step):
            return jax.random.normal(jax.random.fold_in(key, step), (self.noise_dim,))

        return jax.vmap(jax.vmap(one, (None, 0)))(keys, steps)

    def empty(self, rows: int) -> Past:
        """The past of `rows` clips of which there is one frame."""
        tokens = (self.memory - 1) * (self.resolution // self.patch) ** 2
        kept = jnp.zeros((rows, tokens, self.heads, self.width // self.heads), self.dtype)
        # One for all rows: they are at the same frame.
        none = Cache(kept, kept, jnp.zeros((1, tokens)), jnp.zeros((1, tokens), bool))
        return {f"layer{i}": none for i in range(self.depth)}

    @nn.compact
    def __call__(
        self,
        previous: Array | None,
        noise: Array,
        action: Array | None = None,
        past: Past | None = None,
        before: Array | None = None,
    ) -> Made:
        """Each next frame of K, all at once, where the ones before are given.

        Args:
          previous: [B K H W C] in [-1, 1], the frame before each. None: there is none, and K = 1.
          noise: [B K noise_dim].
          action: int32 [B K], what leads from each to the next, `UNKNOWN` where that is not known; None: all.
          past: what the call for the frames before gave, or `empty`; None: there were none.
          before: [B H W C], the frame before the first of `previous`; None: as that, which then is at rest.

        Raises:
          ValueError: settings that do not fit.
        """
        side, half = self.resolution // self.patch, self.patch // 2
        if 2 * self.reach >= self.resolution:
            raise ValueError(
                f"model.generator.reach={self.reach} pixels must be less than half of the "
                f"{self.resolution} of data.size"
            )
        if self.resolution % self.patch or self.patch < 4 or 2 ** round(math.log2(half)) != half:
            raise ValueError(
                f"model.generator.patch={self.patch} must be a power of two, 4 or more, that divides the "
                f"{self.resolution} pixels of data.size"
            )
        b, k = noise.shape[:2]
        begin = self.param("begin", nn.initializers.normal(1.0), (side, side, self.width))
        moved = None
        if previous is None:
            last = jnp.zeros((b * k, self.resolution, self.resolution, self.channels))
            x = jnp.broadcast_to(begin, (b * k, *begin.shape))
        else:
            earlier = previous[:, :1] if before is None else before[:, None]
            change = previous - jnp.concatenate([earlier, previous[:, :-1]], 1)
            last, change = (x.reshape(b * k, *x.shape[2:]) for x in (previous, change))
            moved = jax.lax.stop_gradient(displacement(last, last - change, self.reach))
            seen = space_to_depth(jnp.concatenate([last, 2.0 * change], -1), half)
            x = leaky_relu(Dense(self.cell, dtype=self.dtype, name="cells")(seen))
            x = leaky_relu(x + Conv(self.cell, gain=0.7, dtype=self.dtype, name="cells_block")(x))
            x = Dense(self.width, dtype=self.dtype, name="patches")(space_to_depth(x, 2))
        places = self.param("places", nn.initializers.normal(0.3), (side, side, self.width))
        told = Dense(self.width, 0.5, dtype=self.dtype, name="noise")(noise)
        if self.actions:
            action = jnp.full((b, k), UNKNOWN) if action is None else action
            done = jax.nn.one_hot(action, self.actions, dtype=self.dtype)
            told += Dense(self.width, self.actions**0.5, dtype=self.dtype, name="action")(done)
        if moved is not None:
            told += Dense(self.width, 0.5, dtype=self.dtype, name="moved")(moved).reshape(told.shape)
        x = x + places.astype(self.dtype) + told.reshape(b * k, 1, 1, self.width)

        # Seconds from the first of these frames; what is in the past came before.
        x = x.reshape(b, k * side * side, self.width)
        times = jnp.repeat(jnp.arange(k) / self.clip_fps, side * side)[None]
        future = {}
        for i in range(self.depth):
            name = f"layer{i}"
            layer = Attention(self.heads, horizon=self.memory / self.clip_fps, dtype=self.dtype, name=name)
            x, new = layer(x, times, jnp.ones(times.shape, bool), past and past[name])
            future[name] = new._replace(times=new.times - k / self.clip_fps)
        x = unit_variance(x).reshape(b * k, side, side, self.width)
        frames, speed = self.painted(x, last, half, moved)
        return Made(frames.reshape(b, k, *frames.shape[1:]), future, speed.reshape(b, k, 2))

    def painted(self, x: Array, last: Array, half: int, moved: Array | None) -> tuple[Array, Array]:
        """Tokens [N h w D], the frames before [N H W C], which `moved` -> the next ones, and speed [N 2]."""
        n, size = len(x), self.resolution
        # The picture as a whole goes on as it did, but for what is added; where it comes from is behind it.
        whole = Dense(4, 0.5, dtype=self.dtype, name="speed")(jnp.mean(x, (1, 2))).astype(jnp.float32)
        speed = whole[:, :2] + (0.0 if moved is None else likeliest(moved, self.reach))
        speed = jnp.clip(speed, -self.reach, self.reach)
        # How far each place's own flows go, across and down, and how sure that is.
        flow = depth_to_space(Dense(4 * 4 * self.flows, 0.2, dtype=self.dtype, name="flow")(x), 2)
        flow = flow.astype(jnp.float32).reshape(*flow.shape[:3], self.flows, 2, 2)
        middle = self.reach * jnp.tanh(flow[..., :1] / self.reach)
        spread = SHARPEST + nn.softplus(flow[..., 1:])
        rigid = jnp.stack([-speed, SHARPEST + nn.softplus(whole[:, 2:] - 1.0)], -1)  # [N 2 2]
        rigid = jnp.broadcast_to(rigid[:, None, None, None], (*flow.shape[:3], 1, 2, 2))
        middle = jnp.concatenate([rigid[..., :1], middle], 3)
        spread = jnp.concatenate([rigid[..., 1:], spread], 3)
        offsets = jnp.arange(-self.reach, self.reach + 1)
        chances = nn.softmax(-0.5 * jnp.square((offsets - middle) / spread))
        chances = jnp.moveaxis(chances, (1, 2), (4, 5))
        wide = enlarging(size // half, half)
        chances = jnp.einsum("nfaohw,Hh,Ww->nfaoHW", chances, wide, wide)
        # One channel more says where there is anything to take. Channels first: rows of pixels are long.
        canvas = jnp.concatenate([last, jnp.ones((*last.shape[:3], 1))], -1).transpose(0, 3, 1, 2)
        taken = [shifted(canvas, chances[:, way], self.reach) for way in range(1 + self.flows)]
        taken = jnp.stack(taken, 1).transpose(0, 3, 4, 1, 2)  # [N H W 1+flows C+1]

        seen = space_to_depth(taken.reshape(n, size, size, -1), half).astype(self.dtype)
        more = depth_to_space(Dense(4 * self.cell, dtype=self.dtype, name="more")(x), 2)
        y = Dense(self.texture, dtype=self.dtype, name="texture")(jnp.concatenate([seen, more], -1))
        for i in range(2):
            y = y + Conv(self.texture, gain=0.7, dtype=self.dtype, name=f"texture{i}")(leaky_relu(y))
        y = leaky_relu(y)
        paint = Dense(half * half * self.channels, 0.5, dtype=self.dtype, name="pixels")(y)
        paint = jnp.tanh(depth_to_space(paint, half).astype(jnp.float32))
        # Between ways each cell chooses, and its pixels between it and its neighbours: no dither.
        bias = jnp.array([PAINTED] + [0.0] * (1 + self.flows))
        choice = Dense(2 + self.flows, 0.5, dtype=self.dtype, name="choice")(y).astype(jnp.float32)
        share = nn.softmax(jnp.einsum("nhwc,Hh,Ww->nHWc", 2.0 * choice + bias, wide, wide))[..., None]
        painted = share[..., 0, :] * paint + jnp.sum(share[..., 1:, :] * taken[..., : self.channels], -2)
        return painted, speed

    # ------------------------------------------------------------------ use
    def first(self, params: Params, noise: Array) -> Array:
        """First frames [B H W C] of noise [B noise_dim] alone."""
        return self.apply(params, None, noise[:, None]).frames[:, 0]

    def start(self, params: Params, given: Array) -> CausalState:
        """Where streams are whose first frames [B N H W C] in [-1, 1] are given.

        Of more than one they have their speed; what was done between them need not be known.
        """
        given, past = given.astype(jnp.float32), self.empty(len(given))
        before = given[:, -2:][:, 0]
        if (more := given.shape[1] - 1) > 0:
            noise = jnp.zeros((len(given), more, self.noise_dim))
            past = self.apply(params, given[:, :-1], noise, jnp.full(noise.shape[:2], UNKNOWN), past).past
        return CausalState(given[:, -1], before, past)

    def step(
        self, params: Params, state: CausalState, noise: Array, action: Array | None = None
    ) -> tuple[CausalState, Array, Array]:
        """The next frame [B H W C], of noise [B noise_dim] and the action int32 [B] that leads to it.

        And its speed [B 2], as of `Made`.
        """
        action = None if action is None else action[:, None]
        given = state.frame[:, None], noise[:, None], action, state.past, state.before
        made = self.apply(params, *given)
        frame = made.frames[:, 0]
        return CausalState(frame.astype(jnp.float32), state.frame, made.past), frame, made.speed[:, 0]

    def rollout(
        self, params: Params, given: Array, noise: Array, action: Array | None = None
    ) -> tuple[Array, Array]:
        """The K frames [B K H W C] after those given [B N H W C], each made from those made before.

        And their speeds [B K 2]. noise [B K noise_dim], action int32 [B K]. A gradient goes back through all.
        """
        action = jnp.full(noise.shape[:2], UNKNOWN) if action is None else action

        def step(state: CausalState, now: tuple[Array, Array]) -> tuple[CausalState, tuple[Array, Array]]:
            state, *made = self.step(params, state, *now)
            return state, tuple(made)

        steps = jnp.moveaxis(noise, 1, 0), jnp.moveaxis(action, 1, 0)
        made = jax.lax.scan(step, self.start(params, given), steps)[1]
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), made)

    def speeds(self, clip: Array) -> Array:
        """How far pictures of clips [B T H W C] moved to the next: [B T-1 2] pixels, across and down."""
        b, t = clip.shape[:2]
        last, before = (x.reshape(-1, *clip.shape[2:]) for x in (clip[:, 1:], clip[:, :-1]))
        return likeliest(displacement(last, before, self.reach), self.reach).reshape(b, t - 1, 2)


def displacement(last: Array, before: Array, reach: int) -> Array:
    """How pictures [N H W C] moved as a whole: [N (2*reach+1)^2], down by across, largest where alike.

    Of each offset, by what part of its mean over all offsets the squared difference is less than that: 1
    where `last` is `before`, moved by it; all 0 where nothing can be told. What is within `reach` of an edge
    of `before` is not looked for.
    """
    height, width, channels = last.shape[1:]
    inside = np.zeros((height, width, 1), np.float32)
    inside[reach : height - reach, reach : width - reach] = 1.0

    def spectrum(x: Array) -> Array:
        return jnp.fft.rfft2(x, axes=(1, 2))

    # The sums over the inside of last(x + d)^2 and of last(x + d) before(x), for all d at once.
    last, before = last.astype(jnp.float32), before.astype(jnp.float32) * inside
    power = spectrum(jnp.sum(jnp.square(last), -1, keepdims=True)) * jnp.conj(spectrum(inside[None]))
    both = jnp.sum(spectrum(last) * jnp.conj(spectrum(before)), -1, keepdims=True)
    sums = jnp.fft.irfft2(power - 2.0 * both, (height, width), axes=(1, 2))[..., 0]
    sums = jnp.roll(sums, (reach, reach), (1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    apart = sums + jnp.sum(jnp.square(before), (1, 2, 3))[:, None, None]
    apart = jnp.maximum(apart, 0.0) / (inside.sum() * channels) + TELLING
    return (1.0 - apart / apart.mean((1, 2), keepdims=True)).reshape(len(last), -1)


def likeliest(alike: Array, reach: int) -> Array:
    """The offset [N 2] in pixels, across and down, at which `displacement` is largest, or between such."""
    share = nn.softmax(SURE * alike).reshape(len(alike), 2 * reach + 1, 2 * reach + 1)
    offsets = jnp.arange(-reach, reach + 1, dtype=jnp.float32)
    return jnp.stack([share.sum(1) @ offsets, share.sum(2) @ offsets], -1)


def enlarging(count: int, block: int) -> Array:
    """The matrix [count*block count] of linear interpolation of cells to pixels, the ends held."""
    place = np.clip((np.arange(count * block) + 0.5) / block - 0.5, 0, count - 1)
    return jnp.asarray(np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(count))), jnp.float32)


def shifted(canvas: Array, chances: Array, reach: int) -> Array:
    """Where each pixel is taken from, on average: canvas [N C H W], chances [N 2 offsets H W] -> as canvas.

    Across first, then down; zero comes from outside.
    """
    for axis in (3, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (reach, reach)
        padded, size, chance = jnp.pad(canvas, pad), canvas.shape[axis], chances[:, 3 - axis]
        canvas = sum(
            chance[:, i, None] * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
            for i in range(2 * reach + 1)
        )
    return canvas
