"""Learning to generate video frame by frame: a causal generator that learns on what it made itself."""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation
from vgm_jax.data.transforms import to_float, to_uint8
from vgm_jax.evaluation.evaluator import beside_held_out
from vgm_jax.evaluation.look import PIXELS, Looker, together
from vgm_jax.evaluation.protocol import of_networks, require_networks
from vgm_jax.objectives import Objective
from vgm_jax.tasks.gan_state import GANState, counted, summed
from vgm_jax.tasks.judging import Judge
from vgm_jax.tasks.rows import example_keys, split_rows
from vgm_jax.training.optimizers import Schedule, ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

GREY = 127.5  # levels in one of frames in [-1, 1]
TURNING = {"reverse", "flip"}  # after which an action is another one


class Autoregression:
    """The adversarial task of a causal generator: student forcing (arXiv 2506.09350, sec. 3.3).

    From a clip's first frames, and its actions, the generator makes the frames after them, each from what it
    made before, as it does in use; the discriminator is shown neighbouring frames of that and of the clip,
    with the actions between them. Beside its verdict, the error to the true frames can teach.

    Args:
      judge_stride: every n-th clip of a batch is shown to the discriminator.
      start_stride: every n-th of those begins, where it is generated, with a frame of noise alone; 0: none,
        and the generator needs a picture to begin with.
      frames_seen: neighbouring frames of a clip that an update looks at; 0: all.
      frames_given: of those, the first ones, which are given: of two, how things move can be told. A picture
        that is to begin with then stands for all of them: at rest.
      frames_judged: of those, neighbours again, that the discriminator is shown; 0: all.
      reconstruction_weight: of the mean absolute error to the true frames, in [-1, 1].
      speed_weight: of how far the picture as a whole moves to each frame, beside the clip's, in pixels: where
        it jumps, pixels do not tell whereto.
    """

    by_config = True

    def __init__(
        self,
        generator: Any,
        judge: Judge,
        objective: Objective,
        *,
        generator_optimizer: optax.GradientTransformation,
        discriminator_optimizer: optax.GradientTransformation,
        penalty_weight: Schedule,
        judge_stride: int = 1,
        start_stride: int = 0,
        frames_seen: int = 0,
        frames_given: int = 1,
        frames_judged: int = 0,
        reconstruction_weight: float = 0.0,
        speed_weight: float = 0.0,
        ema_decay: float,
        augmentations: tuple[str, ...] = (),
        networks: tuple[str, ...] = ("random",),
    ):
        self.generator, self.judge, self.objective = generator, judge, objective
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.penalty_weight, self.reconstruction_weight = penalty_weight, reconstruction_weight
        self.speed_weight = speed_weight
        self.judge_stride, self.start_stride = judge_stride, start_stride
        self.frames_seen, self.frames_given, self.frames_judged = frames_seen, frames_given, frames_judged
        self.ema_decay = ema_decay
        turned = sorted(TURNING & set(augmentations)) if generator.actions else ()
        if turned:
            raise ValueError(f"data.augment={turned[0]!r} makes actions untrue, which clips follow here")
        self.augment = Augmentation(augmentations)
        self.networks = require_networks(networks)
        names = (*networks, *PIXELS)
        self.see_real, self.see_fake = Looker(names, remember=True), Looker(names)

    def view(self, source: Any) -> Any:
        """The source as it is. Raises ValueError where its clips lack the actions that are to be followed."""
        known, taken = getattr(source, "actions", 0), self.generator.actions
        if known > taken or bool(known) != bool(taken):
            raise ValueError(
                f"model.generator.actions={taken}, but the data's clips have {known or 'no'} actions: set it "
                "to how many kinds there are, 0 for none; source 'arrays' reads SPLIT_actions.npy"
            )
        return source

    def init(self, key: Key, batch: Batch) -> GANState:
        g_key, d_key = jax.random.split(key)
        clip = to_float(jnp.asarray(batch["video"])[:1])
        seen = self.seen_of(clip.shape[1])
        noise = self.generator.noise(g_key[None], jnp.zeros((1, 1), jnp.int32))
        made, generator = self.generator.init_with_output(g_key, clip[:, :1], noise)
        if made.frames.shape != clip[:, :1].shape:
            raise ValueError(
                f"the generator makes frames of {made.frames.shape[2:]}, the data has {clip.shape[2:]}"
            )
        judged = self.frames_judged or seen
        times = jnp.asarray(batch["times"], jnp.float32)[:1, :judged]
        rows = clip[:, :judged], times, None
        discriminator = self.judge.discriminator.init(d_key, *rows, *self.told(jnp.zeros((1, judged), int)))
        return GANState(
            step=jnp.zeros((), jnp.int32),
            generator=generator,
            generator_ema=jax.tree.map(jnp.copy, generator),
            discriminator=discriminator,
            generator_opt=self.generator_optimizer.init(generator),
            discriminator_opt=self.discriminator_optimizer.init(discriminator),
        )

    def told(self, action: Array | None) -> tuple[Array, ...]:
        """What the discriminator is told beside frames, times and keys."""
        return (action,) if self.generator.actions else ()

    def seen_of(self, length: int) -> int:
        """Frames of clips of so many that an update looks at. Raises ValueError where that cannot be."""
        seen = self.frames_seen or length
        given, judged = self.frames_given, self.frames_judged or seen
        if not (1 <= given < seen <= length and 2 <= judged <= seen):
            raise ValueError(
                f"model.frames_seen={self.frames_seen} must be at most data.frames={length} (0: all), "
                f"model.frames_given={given} less than that, from 1, and "
                f"model.frames_judged={self.frames_judged} that at most, from 2 (0: all)"
            )
        if self.start_stride and judged > seen - given + 1:
            raise ValueError(
                f"model.frames_judged={self.frames_judged} must be at most frames_seen - frames_given + 1 = "
                f"{seen - given + 1} where objective.start_stride asks for frames of noise alone"
            )
        return seen

    def train_step(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[GANState, Metrics]:
        g_gradient, d_gradient, metrics = self.gradients(state, batch, key, axis_name)
        g_update, g_opt = self.generator_optimizer.update(g_gradient, state.generator_opt, state.generator)
        d_update, d_opt = self.discriminator_optimizer.update(
            d_gradient, state.discriminator_opt, state.discriminator
        )
        generator = optax.apply_updates(state.generator, g_update)
        return state.replace(
            step=state.step + 1,
            generator=generator,
            generator_ema=ema(state.generator_ema, generator, state.step, self.ema_decay),
            discriminator=optax.apply_updates(state.discriminator, d_update),
            generator_opt=g_opt,
            discriminator_opt=d_opt,
        ), metrics

    def gradients(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Params, Params, Metrics]:
        """Gradients of both players, and the losses; one rollout, one pass of each clip through the judge."""
        keys = functools.partial(example_keys, batch_size=len(batch["video"]), axis_name=axis_name)
        augment_key, place_key, noise_key, dropout_key, judged_key, penalty_key = jax.random.split(key, 6)
        batch = self.augment(batch, keys(augment_key))
        length = batch["video"].shape[1]
        seen = self.seen_of(length)
        judged = self.frames_judged or seen
        action = batch["action"] if self.generator.actions else jnp.zeros(batch["times"].shape, jnp.int32)
        clip = neighbours(
            (batch["video"], batch["times"], action), places(keys(place_key), length - seen), seen
        )
        video, times, action = to_float(clip[0]), clip[1], clip[2]
        noise = self.generator.noise(keys(noise_key), jnp.tile(jnp.arange(seen), (len(video), 1)))
        apart = functools.partial(split_rows, n=self.judge_stride, name="objective.judge_stride")
        at = places(keys(judged_key), seen - judged)
        every = self.judge_stride * self.start_stride
        begun = np.zeros(0, int)
        if every:  # as many on each device
            name = "objective.judge_stride * objective.start_stride"
            begun, _ = split_rows(np.arange(len(video)), every, name)
        at = at.at[begun].set(self.frames_given - 1)  # what is learnt there is how to begin
        true = jnp.ones(len(video)).at[begun].set(0.0)  # no true frame follows on what is not true

        def made(params: Params) -> tuple[Array, Array, Array]:
            given = video[:, : self.frames_given]
            if self.start_stride:
                alone = self.generator.first(params, noise[begun, 0])[:, None]
                given = given.at[begun].set(jnp.repeat(alone, self.frames_given, 1))
            steps = noise[:, self.frames_given :], action[:, self.frames_given :]
            frames, speed = self.generator.rollout(params, given, *steps)
            frames = jnp.concatenate([given, frames.astype(jnp.float32)], 1)
            return frames, speed, apart(neighbours(frames, at, judged))[0]

        (frames, speed, fake), pull = jax.vjp(made, state.generator)
        (real, times, told, dropout), _ = apart(
            (*neighbours((video, times, action), at, judged), keys(dropout_key))
        )
        weight = self.penalty_weight(state.step)
        d_gradient, towards, figures, _ = self.judge.game(
            self.objective,
            state.discriminator,
            (real, times, dropout, *self.told(told)),
            (fake, times, jax.vmap(lambda k: jax.random.fold_in(k, 1))(dropout), *self.told(told)),
            weight,
            state.step,
            penalty_key,
            axis_name,
        )

        def missed(made: Array, truth: Array) -> Array:
            error = jnp.mean(jnp.abs(made - truth), tuple(range(1, made.ndim)))
            return jnp.sum(error * true) / jnp.maximum(jnp.sum(true), 1.0)

        first = self.frames_given
        error, slope = jax.value_and_grad(lambda x: missed(x[:, first:], video[:, first:]))(frames)
        moved, turn = jax.value_and_grad(missed)(speed, self.generator.speeds(video)[:, first - 1 :])
        slopes = self.reconstruction_weight * slope, self.speed_weight * turn
        (g_gradient,) = pull((*slopes, towards.astype(fake.dtype)))
        figures |= {"error": GREY * error, "speed_error": moved}
        metrics = summed(counted(figures), axis_name)
        if axis_name is not None:
            g_gradient, d_gradient = jax.lax.pmean((g_gradient, d_gradient), axis_name)
        return g_gradient, d_gradient, metrics

    # ------------------------------------------------------------------ use
    @functools.partial(jax.jit, static_argnums=0)
    def begin(self, params: Params, keys: Array, truncation: Array = 1.0) -> Array:
        """First frames of keys [B], made of noise alone, times truncation -> uint8 [B H W C]."""
        noise = truncation * self.generator.noise(keys, jnp.zeros((len(keys), 1), jnp.int32))
        return to_uint8(self.generator.first(params, noise[:, 0]))

    @functools.partial(jax.jit, static_argnums=0)
    def advance(
        self, params: Params, state: Any, key: Key, number: Array, action: Array, truncation: Array
    ) -> tuple[Any, Array]:
        """Frame `number` of one stream, after the action int32 [] -> state, uint8 [H W C]."""
        noise = truncation * self.generator.noise(key[None], number[None, None])
        state, frames, _ = self.generator.step(params, state, noise[:, 0], action[None])
        return state, to_uint8(frames)[0]

    @functools.partial(jax.jit, static_argnums=0)
    def follow(self, params: Params, given: Array, keys: Array, action: Array) -> Array:
        """Clips uint8 [B T H W C] that begin with uint8 [B N H W C] and follow actions [B T]."""
        count = action.shape[1] - given.shape[1]
        noise = self.generator.noise(keys, jnp.tile(jnp.arange(1, count + 1), (len(given), 1)))
        frames, _ = self.generator.rollout(params, to_float(given), noise, action[:, given.shape[1] :])
        return jnp.concatenate([given, to_uint8(frames)], 1)

    @functools.partial(jax.jit, static_argnums=0)
    def rest(self, params: Params, first: Array) -> Any:
        """The state of streams that begin with pictures uint8 [B H W C], where nothing has moved yet."""
        return self.generator.start(params, jnp.repeat(to_float(first)[:, None], self.frames_given, 1))

    def evaluate(self, state: GANState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """How far clips made from held-out first frames are from the held-out ones: in pixels and as a set.

        error/n: mean absolute error of the nth frame made, in grey levels, where the clip's own actions were
        followed; error: of all. shuffled/...: where those of another clip were. copied/...: of the last frame
        that was given. And what `beside_held_out` tells of as many clips of each.
        """
        real, fake, errors, done = [], [], [], 0
        for batch in batches:
            count = int(np.sum(batch["mask"]))
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(done + jnp.arange(len(batch["video"])))
            video = np.asarray(batch["video"])
            made = {"": np.asarray(self.follow(state.generator_ema, *self.asked(batch, keys)))}
            if self.generator.actions and count > 1:
                others = batch | {"action": np.roll(np.asarray(batch["action"]), 1, 0)}
                made["shuffled/"] = np.asarray(self.follow(state.generator_ema, *self.asked(others, keys)))
            made["copied/"] = np.repeat(video[:, self.frames_given - 1, None], video.shape[1], 1)
            apart = {name: np.abs(x.astype(np.int16) - video).mean((2, 3, 4)) for name, x in made.items()}
            errors.append({name: x[:count] for name, x in apart.items()})
            real.append(self.see_real(video, count))
            fake.append(self.see_fake(made[""], count))
            done += count
        figures = {}
        for name in dict.fromkeys(name for e in errors for name in e):
            rows = np.concatenate([e[name] for e in errors if name in e])
            means = rows[:, self.frames_given :].mean(0)
            figures[f"{name}error"] = float(means.mean())
            shown = sorted({1, min(5, len(means)), len(means)})
            figures |= {f"{name}error/{n}": float(means[n - 1]) for n in shown}
        return figures | beside_held_out(together(real), together(fake))

    def asked(self, batch: Batch, keys: Array) -> tuple[Array, Array, Array]:
        """First frames, keys and actions of a batch, as `follow` takes them."""
        action = batch["action"] if self.generator.actions else np.zeros(np.shape(batch["times"]), np.int32)
        return jnp.asarray(batch["video"])[:, : self.frames_given], keys, jnp.asarray(action)

    def protocol(self) -> dict[str, Any]:
        """The networks that figures are of, their weights' hashes among it."""
        return {"networks": of_networks(self.networks)}

    def show(self, state: GANState, batch: Batch, key: Key) -> dict[str, Media]:
        """Clips from real first frames with their own actions, with others' actions, and the real ones.

        And some that begin with noise alone, where that is learnt.
        """
        times = np.asarray(batch["times"])
        n = min(16, len(times))
        batch = {name: np.asarray(x)[:n] for name, x in batch.items()}
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        fps = 1.0 / float(times[0, 1] - times[0, 0])
        given, _, action = self.asked(batch, keys)
        shown = {"samples": self.follow(state.generator_ema, given, keys, action)}
        shown["real"] = batch["video"]
        if self.generator.actions:
            shown["shuffled"] = self.follow(state.generator_ema, given, keys, jnp.roll(action, 1, 0))
        if self.start_stride:
            begun = self.begin(state.generator_ema, keys)
            begun = jnp.repeat(begun[:, None], self.frames_given, 1)
            shown["begun"] = self.follow(state.generator_ema, begun, keys, action)
        return {name: Media(np.asarray(video), fps) for name, video in shown.items()}


def places(keys: Array, last: int) -> Array:
    """A place in 0..last for each key [B]."""
    return jax.vmap(lambda k: jax.random.randint(k, (), 0, last + 1))(keys)


def neighbours(tree: Any, at: Array, count: int) -> Any:
    """Of arrays [B T ...], `count` neighbours from places [B] on."""
    cut = jax.vmap(lambda x, i: jax.lax.dynamic_slice_in_dim(x, i, count))
    return jax.tree.map(lambda x: cut(x, at), tree)
