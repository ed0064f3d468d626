"""Learning to generate video: a generator and a discriminator against each other."""

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgm_jax.data.augmentation import Augmentation
from vgm_jax.data.transforms import sample_frames, to_float
from vgm_jax.evaluation import physics
from vgm_jax.evaluation.damages import DAMAGES
from vgm_jax.evaluation.evaluator import FEWEST, beside_held_out
from vgm_jax.evaluation.look import PIXELS, Looker, Remembered, together
from vgm_jax.evaluation.protocol import of_networks, require_networks
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import Objective, Shown
from vgm_jax.tasks.codes import ENCODER, IMAGINATION, CodeGame
from vgm_jax.tasks.gan_state import GANState, counted, summed
from vgm_jax.tasks.judging import FrameGame, Judge
from vgm_jax.tasks.phases import from_then
from vgm_jax.tasks.restoring import Start
from vgm_jax.tasks.rows import example_keys, join_rows, split_rows
from vgm_jax.tasks.sampling import Sampling
from vgm_jax.tasks.sentences import Sentences
from vgm_jax.tasks.spins import DREAMT
from vgm_jax.training.optimizers import Schedule, ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params


class Generation(Sampling):
    """The adversarial task. Modules and plain values in; `tasks.build` makes it from a config."""

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
        judge_from: int = 0,
        frames_seen: int,
        ema_decay: float,
        augmentations: tuple[str, ...] = (),
        shown: Shown | None = None,
        codes: CodeGame | None = None,
        held: Schedule = np.ones_like,
        conditions: tuple[str, ...] = (),
        start: Start | None = None,
        settled_from: int | None = None,
        repainted: bool = False,
        networks: tuple[str, ...] = ("random",),
        sentences: Sentences | None = None,
    ):
        self.generator, self.judge, self.objective = generator, judge, objective
        self.discriminator = judge.discriminator
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.judge_stride, self.judge_from, self.codes, self.held = judge_stride, judge_from, codes, held
        self.repainted = repainted
        self.frames_seen, self.ema_decay = frames_seen, ema_decay
        self.conditions, self.start, self.settled_from = conditions, start, settled_from
        self.sentences = sentences
        if settled_from == 0 and (start is None or codes is None):
            raise ValueError(
                "model.frozen needs model.start, and an encoder: what paints and reads stays as it is there"
            )
        # Made here, so that an unknown name is an error before anything is computed.
        self.augment, self.shown = Augmentation(augmentations), shown or Shown(())
        self.game = FrameGame(judge, objective, self.shown, penalty_weight)
        self.networks = require_networks(networks)
        names = (*networks, *PIXELS)
        # Under pmap a device's clips are a multiple of so many, for strides go over those of the whole batch.
        self.rows = judge_stride * judge.stride
        if codes:
            dreamt = 1 if codes.spins_from is None else DREAMT
            self.rows = math.lcm(self.rows, codes.stride, dreamt, codes.early_stride if settled_from else 1)
        self.until: int | None = None  # updates have numbers below that, see `early`
        self.see_real, self.see_fake = Looker(names, remember=True), Looker(names)
        self.judge_real = Remembered(physics.observe)

    def early(self) -> tuple[int, "Generation"]:
        """Below which number updates lack all that begins later; and the task that does them, without it."""
        begins = self.settled_from, self.judge_from, self.codes and self.codes.spins_from
        task, until = copy.copy(self), 0 if self.settled_from == 0 else min(filter(None, begins), default=0)
        task.until, task.codes = until, self.codes and self.codes.below(until)
        return until, task

    def init(self, key: Key, batch: Batch) -> GANState:
        g_key, d_key = jax.random.split(key)
        times = jnp.asarray(batch["times"], jnp.float32)[:1]
        times = times[:, : self.frames_seen] if self.frames_seen else times
        noise = self.generator.noise(g_key[None], times)
        frames, generator = self.generator.init_with_output(g_key, noise, times)
        expected = batch["video"].shape[2:]
        if frames.shape[2:] != expected:
            raise ValueError(f"the generator makes frames of {frames.shape[2:]}, the data has {expected}")
        discriminator = self.discriminator.init(d_key, frames, times)
        codes = ()
        if self.codes:
            whole = jnp.asarray(batch["times"], jnp.float32)[:1]
            given = {name: jnp.asarray(x)[:1] for name, x in self.given(batch).items()}
            encoder, codes = self.codes.init(jax.random.fold_in(d_key, 1), generator, frames, whole, given)
            if self.settled_from:
                codes = codes.replace(begun=(generator["params"][IMAGINATION], codes.critics))
            generator = {**generator, ENCODER: encoder}
        if self.start is not None:
            generator = self.start.put_into(generator)
        return GANState(
            step=jnp.zeros((), jnp.int32),
            generator=generator,
            generator_ema=jax.tree.map(jnp.copy, generator),
            discriminator=discriminator,
            generator_opt=self.generator_optimizer.init(generator),
            discriminator_opt=self.discriminator_optimizer.init(discriminator),
            codes=codes,
            strength=self.shown.init() if self.shown.adaptive else (),
        )

    def train_step(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[GANState, Metrics]:
        @jax.jit  # of which the trace is kept: it is asked for shapes, then for what to do
        def learn():
            return self.learn(state, batch, key, axis_name)

        def settled():
            now = self.settled(state)
            read = self.remembered(now, *self.seen(batch, key, axis_name))
            return self.with_codes(now, read, axis_name)

        if self.settled_from is None:
            state, metrics = learn()
        elif self.settled_from == 0:
            state, metrics = settled(), {}
        else:
            _, metrics = jax.eval_shape(learn)
            nothing = jax.tree.map(jnp.zeros_like, metrics)
            state, metrics = from_then(
                state.step, self.settled_from, self.until, learn, lambda: (settled(), nothing)
            )
        clips = len(batch["video"]) * (1 if axis_name is None else jax.lax.psum(1, axis_name))
        generator = state.generator
        if self.codes:
            now = self.known(state.step, clips), jax.random.fold_in(key, 7), self.held(state.step)
            rounds = self.codes.rounds_of(state.step, self.settled_from, self.repainted)
            codes, generator, losses = self.codes.play(state.codes, generator, *now, rounds)
            state, metrics = state.replace(codes=codes), metrics | summed(losses, axis_name)
        if "augment_sign" in metrics:
            total, count = metrics["augment_sign"]
            mean = total / jnp.maximum(count, 1)
            shown = clips // self.judge_stride
            state = state.replace(strength=self.shown.moved(state.strength, mean, state.step, shown))
        began = (self.settled_from or 0) * (state.step >= (self.settled_from or 0))
        state = state.replace(
            step=state.step + 1,
            generator=generator,
            generator_ema=ema(state.generator_ema, generator, state.step - began, self.ema_decay),
        )
        return state, metrics

    def learn(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None
    ) -> tuple[GANState, Metrics]:
        """Both players of frames, what reads and what paints moved by a step; codes remembered, losses."""
        g_gradient, d_gradient, metrics, read = self.gradients(state, batch, key, axis_name)
        g_update, g_opt = self.generator_optimizer.update(g_gradient, state.generator_opt, state.generator)
        d_update, d_opt = self.discriminator_optimizer.update(
            d_gradient, state.discriminator_opt, state.discriminator
        )
        if self.judge_from:  # what it averages, and its schedules, begin with the first gradient
            waits = state.step < self.judge_from
            d_opt = jax.tree.map(lambda new, old: jnp.where(waits, old, new), d_opt, state.discriminator_opt)
        state = state.replace(
            generator=optax.apply_updates(state.generator, g_update),
            discriminator=optax.apply_updates(state.discriminator, d_update),
            generator_opt=g_opt,
            discriminator_opt=d_opt,
        )
        return (state if read is None else self.with_codes(state, read, axis_name)), metrics

    def settled(self, state: GANState) -> GANState:
        """From when they settle what reads and what paints are as they were on average.

        And then the game of codes begins anew: of codes that drifted it has learnt what it does not unlearn.
        """
        if not self.settled_from:
            return state
        imagination, codes = self.codes.anew(state.codes)
        mean = state.generator_ema
        mean = {**mean, "params": {**mean["params"], IMAGINATION: imagination}}
        new = state.replace(generator=mean, generator_ema=mean, codes=codes)
        return jax.tree.map(lambda new, old: jnp.where(state.step == self.settled_from, new, old), new, state)

    def with_codes(self, state: GANState, read: Any, axis_name: str | None) -> GANState:
        """With what was read off this update's clips, on all devices, remembered."""
        if axis_name is not None:
            read = jax.lax.all_gather(read, axis_name, tiled=True)
        return state.replace(codes=self.codes.remember(state.codes, *read))

    def known(self, step: Array, clips: int) -> Array:
        """How many of the codes in memory are fresh, of so many clips an update.

        While the encoder learns, what it read long ago is not what it would read now.
        """
        since, codes, count = self.settled_from, self.codes, clips // self.codes.stride
        if not since:
            return jnp.minimum((step + 1) * count, codes.memory if since == 0 else codes.recent)
        early = clips // codes.early_stride if codes.early_rounds else 0
        early = jnp.clip((step + 1) * early, 1, codes.recent)
        least = jnp.where(step < since, early, 1) if self.repainted else early
        return jnp.clip((step + 1 - since) * count, least, codes.memory)

    def seen(self, batch: Batch, key: Key, axis_name: str | None) -> tuple[Batch, Array]:
        """Clips as they are learnt from, but for how they look; and the keys [B] by which they look so."""
        keys = example_keys(jax.random.split(key, 5)[0], batch["video"].shape[0], axis_name)
        return self.augment.in_time(batch, keys), keys

    def changed(self, batch: Batch, keys: Array) -> Batch:
        """Clips as they are learnt from, float32, and what is said of what then is seen."""
        batch = self.augment.in_place(batch, keys)
        return batch | {"video": to_float(self.augment.in_look(batch, keys)["video"])}

    def gradients(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Params, Params, Metrics, Any]:
        """Gradients of both players, the losses, and codes read off the clips, or None.

        With the codes' times and conditions. One pass forward through each network.
        """
        keys = functools.partial(example_keys, batch_size=batch["video"].shape[0], axis_name=axis_name)
        _, frame_key, noise_key, dropout_key, penalty_key = jax.random.split(key, 5)
        shown_keys = keys(jax.random.fold_in(key, 5))
        whole, augment_keys = self.seen(batch, key, axis_name)
        video, times = whole["video"], whole["times"]
        if self.frames_seen:
            video, times = sample_frames(video, times, keys(frame_key), self.frames_seen)
        clips = self.changed(whole | {"video": video, "times": times}, augment_keys)["video"]
        noise = self.generator.noise(keys(noise_key), times)
        rows = clips, times, shown_keys, keys(dropout_key)
        (shown, noise), _ = split_rows((rows, noise), self.judge_stride, "objective.judge_stride")

        def game(painted):
            found = self.game(
                state.discriminator, shown, painted, state.strength, state.step, penalty_key, axis_name
            )
            return *found[:2], counted(found[2])

        def generate(params: Params) -> Array:
            if self.codes:  # of which the imagination learns, and the painters of frames
                return self.codes.paint(params, self.codes.imagine(state.generator, noise, shown[1]))
            return self.generator.apply(params, noise, shown[1])

        @jax.jit
        def imagined():
            frames, pull = jax.vjp(generate, state.generator)
            towards, *found = game(frames)
            return *pull(towards), *found

        def late(play: Callable, *args):
            """What `play`, zeros until the discriminator is shown any."""
            if not self.judge_from:
                return play(*args)
            play = jax.jit(play)  # of which the trace is kept, as in `train_step`
            nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(play, *args))
            return from_then(state.step, self.judge_from, self.until, lambda *_: nothing, play, *args)

        def repainted(frames: Array) -> tuple[Array, Any]:
            frames, others = split_rows(frames, self.judge_stride)
            towards, *found = late(game, frames)
            return join_rows(towards, jnp.zeros_like(others)), found

        if not self.codes:
            g_gradient, d_gradient, metrics = imagined()
            read = None
        else:
            side = keys(jax.random.fold_in(key, 6))
            g_gradient, read, missed, found = self.codes.reconstruct(
                state.generator, clips, times, side, state.step, repainted if self.repainted else None
            )
            if self.repainted:
                d_gradient, metrics = found
            else:
                gradient, d_gradient, metrics = late(imagined)
                g_gradient = jax.tree.map(jnp.add, g_gradient, gradient)
            metrics |= counted(missed)
            played = self.codes.early_rounds or self.settled_from is None
            read = self.remembered(state, whole, augment_keys, read) if played else None
        metrics = summed(metrics, axis_name)
        if axis_name is not None:
            g_gradient, d_gradient = jax.lax.pmean((g_gradient, d_gradient), axis_name)
        return g_gradient, d_gradient, metrics, read

    def remembered(
        self, state: GANState, whole: Batch, keys: Array, read: Codes | None = None
    ) -> tuple[Codes, Array, dict[str, Array]]:
        """Codes of some clips at moments all through them, these, and what they could be asked for by.

        read: of all clips, while codes may drift; of these content and form are kept.
        """
        drifts = read is not None and self.settled_from
        name = "early_stride" if drifts else "stride"
        rows = whole | self.codes.spread(whole["video"], whole["times"], keys), keys, read
        (rows, keys, read), _ = split_rows(rows, getattr(self.codes, name), f"objective.codes_{name}")
        rows = self.changed(rows, keys)
        codes = self.codes.read(state.generator, rows["video"], rows["times"])
        # What these clips show may be known; how they move is read all through them.
        if read is not None and self.codes.encoder.separable:
            codes = read._replace(motion=codes.motion)
        return codes, rows["times"], self.given(rows)

    def caution(self, step: int) -> str:
        """Why samples of the generator after so many updates say nothing of it; "" where they do."""
        if not self.settled_from or self.codes.early_rounds or step > self.settled_from:
            return ""
        return (
            f"after {step} updates samples mean nothing yet: what they show is learnt after update "
            f"{self.settled_from} (objective.settled_from)"
        )

    def evaluate(self, state: GANState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """How far as many samples of the averaged generator are from held-out clips, in every figure.

        Real clips are looked at once a process: they are the same at every call. Of fewer clips than an
        evaluation needs it only says how few they are: a small data set can be trained on all the same.
        """
        if caution := self.caution(int(state.step)):
            warnings.warn(caution, stacklevel=2)
        real, shuffled, fake, judged, asked = [], [], [], [], []
        done = 0
        for batch in batches:
            count = int(np.sum(batch["mask"]))
            rows = done + np.arange(len(batch["video"]))
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(rows))
            samples = np.asarray(self.generate(state.generator_ema, keys, jnp.asarray(batch["times"])))
            video = np.asarray(batch["video"])
            real.append(self.see_real(video, count))
            if video.shape[1] > 1:
                shuffled.append(self.see_real(DAMAGES["shuffled"](video, 0, rows), count))
            fake.append(self.see_fake(samples, count))
            if "oracle" in self.networks:
                times = np.asarray(batch["times"])[0]
                judged.append(
                    [self.judge_real(video[:count], times), physics.observe(samples[:count], times)]
                )
                if given := self.given(batch):
                    at = jnp.asarray(batch["times"])
                    samples = np.asarray(self.asked_alike(state.generator_ema, keys, at, given))
                    asked.append(physics.observe(samples[:count], times))
            done += count
        figures = beside_held_out(*(together(x) if x else None for x in (real, fake, shuffled)))
        if judged and done >= FEWEST:
            seen = [physics.together(list(part)) for part in zip(*judged, strict=True)]
            figures |= physics.checks(*seen)
            if asked:
                figures |= physics.agreement(seen[0], physics.together(asked))
        return figures

    def protocol(self) -> dict[str, Any]:
        """The networks that figures are of, their weights' hashes among it."""
        return {"networks": of_networks(self.networks)}

    def show(self, state: GANState, batch: Batch, key: Key) -> dict[str, Media]:
        """Samples of the averaged generator, the same noise at every call with one key, beside real clips.

        And these painted from the codes read off them, where there is an encoder.
        """
        times = np.asarray(batch["times"])
        n = min(16, len(times))
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        samples = np.asarray(self.generate(state.generator_ema, keys, jnp.asarray(times[:n])))
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        media = {"samples": Media(samples, fps), "real": Media(np.asarray(batch["video"])[:n], fps)}
        given = {name: jnp.asarray(x)[:n] for name, x in self.given(batch).items()}
        if given:
            asked = self.asked_alike(state.generator_ema, keys, jnp.asarray(times[:n]), given)
            media["asked"] = Media(np.asarray(asked), fps)  # for what the real clips are
        if self.codes:
            video = jnp.asarray(batch["video"])[:n]
            repainted = self.repaint(state.generator_ema, video, jnp.asarray(times[:n]))
            media["repainted"] = Media(np.asarray(repainted), fps)
        return media
