"""Learning to generate video: a generator and a discriminator against each other."""

import functools
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
from vgm_jax.evaluation.evaluator import FEWEST, assess
from vgm_jax.evaluation.look import PIXELS, Looker, Remembered, together
from vgm_jax.evaluation.protocol import of_networks
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import Objective, Shown, ZeroCentered, lazy, margin
from vgm_jax.tasks.codes import ENCODER, CodeGame
from vgm_jax.tasks.gan_state import GANState, summed
from vgm_jax.tasks.restoring import Start
from vgm_jax.tasks.rows import example_keys, join_rows, split_rows
from vgm_jax.tasks.sampling import Sampling
from vgm_jax.training.optimizers import Schedule, ema
from vgm_jax.types import Array, Batch, Key, Media, Metrics, Params

Rows = tuple[Array, Array, Array]  # frames [B K H W C], times [B K], dropout keys [B]


class Generation(Sampling):
    """The adversarial task. Modules and plain values in; `tasks.build` makes it from a config."""

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        objective: Objective,
        *,
        generator_optimizer: optax.GradientTransformation,
        discriminator_optimizer: optax.GradientTransformation,
        penalty: Any,
        penalty_weight: Schedule,
        penalty_every: int,
        penalty_stride: int,
        judge_stride: int = 1,
        judge_from: int = 0,
        frames_seen: int,
        ema_decay: float,
        augmentations: tuple[str, ...] = (),
        shown: Shown | None = None,
        codes: CodeGame | None = None,
        conditions: tuple[str, ...] = (),
        start: Start | None = None,
        frozen: bool = False,
        networks: tuple[str, ...] = ("random",),
    ):
        self.generator, self.discriminator, self.objective = generator, discriminator, objective
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        self.penalty_stride = penalty_stride
        self.judge_stride, self.judge_from, self.codes = judge_stride, judge_from, codes
        self.frames_seen, self.ema_decay = frames_seen, ema_decay
        self.conditions, self.start, self.frozen = conditions, start, frozen
        if frozen and (start is None or codes is None):
            raise ValueError(
                "model.frozen needs model.start, and an encoder: what paints and reads stays as it is there"
            )
        # Made here, so that an unknown name is an error before anything is computed.
        self.augment, self.shown = Augmentation(augmentations), shown or Shown(())
        self.networks = of_networks(networks)
        names = (*networks, *PIXELS)
        self.see_real, self.see_fake = Looker(names, remember=True), Looker(names)
        self.judge_real = Remembered(physics.observe)

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

    def gradients(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[Params, Params, Metrics, Any]:
        """Gradients of both players, the losses, and codes read off the clips, or None.

        With the codes' times and conditions. One pass forward through each network.

        Where the discriminator is shown changed frames, changing generated ones is part of the generator's
        pass, which learns through it. Penalties are of the discriminator's slope at what it is shown, changed
        real frames (R1) and changed generated ones (R2): the game is between their distributions.
        """
        keys = functools.partial(example_keys, batch_size=batch["video"].shape[0], axis_name=axis_name)
        augment_key, frame_key, noise_key, dropout_key, penalty_key = jax.random.split(key, 5)
        shown_keys = keys(jax.random.fold_in(key, 5))
        whole = self.augment.in_time(batch, keys(augment_key))
        video, times = whole["video"], whole["times"]
        if self.frames_seen:
            video, times = sample_frames(video, times, keys(frame_key), self.frames_seen)

        def changed(batch: Batch, keys: Array) -> Array:
            return to_float(self.augment.in_look(self.augment.in_place(batch, keys), keys)["video"])

        clips = changed(whole | {"video": video, "times": times}, keys(augment_key))
        noise = self.generator.noise(keys(noise_key), times)
        rows = clips, times, noise, shown_keys, keys(dropout_key)
        if self.frozen:
            nothing = jax.tree.map(jnp.zeros_like, (state.generator, state.discriminator))
            read = self.remembered(state, whole, changed, keys(augment_key))
            if axis_name is not None:
                read = jax.lax.all_gather(read, axis_name, tiled=True)
            return *nothing, {}, read
        shown, _ = split_rows(rows, self.judge_stride, "objective.judge_stride")

        @jax.jit  # of which the trace is kept: it is asked for shapes, then for what to do
        def game():
            return self.game_of_frames(state, *shown, penalty_key, axis_name)

        if self.judge_from:
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(game))
            g_gradient, d_gradient, metrics = jax.lax.cond(
                state.step < self.judge_from, lambda: nothing, game
            )
        else:
            g_gradient, d_gradient, metrics = game()
        read = None
        if self.codes:
            side = keys(jax.random.fold_in(key, 6))
            gradient, read, missed = self.codes.reconstruct(state.generator, clips, times, side, state.step)
            g_gradient = jax.tree.map(jnp.add, g_gradient, gradient)
            metrics |= missed
            read = self.remembered(state, whole, changed, keys(augment_key), read)
        metrics = summed(metrics, axis_name)
        if axis_name is not None:
            g_gradient, d_gradient = jax.lax.pmean((g_gradient, d_gradient), axis_name)
            read = jax.lax.all_gather(read, axis_name, tiled=True)
        return g_gradient, d_gradient, metrics, read

    def remembered(
        self, state: GANState, whole: Batch, changed: Callable, keys: Array, read: Codes | None = None
    ) -> tuple[Codes, Array, dict[str, Array]]:
        """Codes of some clips at moments all through them, these, and what they could be asked for by.

        Args:
          changed: a batch and keys [B] to frames as they are learnt from.
          read: of all clips, of which then content and form are kept.
        """
        rows = self.codes.spread(whole["video"], whole["times"], keys), keys, self.given(whole), read
        (rows, keys, given, read), _ = split_rows(rows, self.codes.stride, "objective.codes_stride")
        through = self.codes.read(state.generator, changed(rows, keys), rows["times"])
        # What these clips show may be known; how they move is read all through them.
        codes = through if read is None else read._replace(motion=through.motion)
        return codes, rows["times"], given

    def game_of_frames(
        self,
        state: GANState,
        clips: Array,
        times: Array,
        noise: Any,
        shown_keys: Array,
        dropout: Array,
        penalty_key: Key,
        axis_name: str | None,
    ) -> tuple[Params, Params, dict[str, Array]]:
        """Gradients of both players, and the losses, of real clips and as many generated ones.

        clips [B K H W C] in [-1, 1], times [B K]; keys [B] of what the discriminator is shown and of dropout.
        """

        def show(frames: Array, side: int) -> Array:
            side_keys = jax.vmap(lambda k: jax.random.fold_in(k, side))(shown_keys)
            return self.shown(frames, side_keys, state.strength if self.shown.adaptive else None)

        def generate(params: Params) -> Array:
            if self.codes:  # of which the imagination learns, and the painters of frames
                return self.codes.paint(params, self.codes.imagine(state.generator, noise, times))
            return self.generator.apply(params, noise, times)

        frames, pull_generator = jax.vjp(lambda params: show(generate(params), 1), state.generator)
        # A row: frames, their times, and the key of its dropout.
        real = show(clips, 0), times, dropout
        fake = frames, times, jax.vmap(lambda k: jax.random.fold_in(k, 1))(dropout)

        def d_loss(params):
            real_logits, fake_logits, pull_frames, penalty = self.judge(
                params, real, fake, state.step, penalty_key, axis_name
            )
            loss = self.objective.d_loss(real_logits, fake_logits)
            weighted = loss + self.penalty_weight(state.step) * penalty
            g_loss, towards = jax.value_and_grad(lambda fake: self.objective.g_loss(real_logits, fake))(
                fake_logits
            )
            metrics = {"d_loss": loss, "g_loss": g_loss}
            if self.penalty is not None:
                metrics["penalty"] = penalty
            metrics["real_logit"] = jnp.mean(real_logits)
            metrics["fake_logit"] = jnp.mean(fake_logits)
            if self.shown.adaptive:
                margins = margin(self.objective, real_logits, fake_logits)
                metrics["augment_sign"] = jnp.mean(jnp.sign(margins))
                metrics["augment_p"] = state.strength.p
            return weighted, (pull_frames(towards), metrics)

        d_gradient, (g_frames, metrics) = jax.grad(d_loss, has_aux=True)(state.discriminator)
        (g_gradient,) = pull_generator(g_frames.astype(frames.dtype))
        return g_gradient, d_gradient, metrics

    def judge(
        self, params: Params, real: Rows, fake: Rows, step: Array, key: Key, axis_name: str | None
    ) -> tuple[Array, Array, Callable[[Array], Array], Array]:
        """Logits [B] on real and fake, what takes the latter's gradient to the frames, the penalty."""

        def outputs(rows: Rows) -> Array:
            found = self.discriminator.apply(params, *rows)
            if found.shape != (expected := (len(rows[0]),)):
                raise ValueError(
                    f"the discriminator's output is {found.shape}, not {expected}: a logit a clip"
                )
            return found

        def pullable(rows: Rows):
            frames, *rest = rows
            return jax.vjp(lambda x: outputs((x, *rest)), frames.astype(jnp.float32))

        split = functools.partial(split_rows, n=self.penalty_stride, name="objective.penalty_stride")
        if isinstance(self.penalty, ZeroCentered) and self.penalty_every == 1:
            # The penalised clips' outputs come from the pass that the penalty needs anyway.
            (real, other_real), (fake, other_fake) = split(real), split(fake)
            both, pull_both = pullable(jax.tree.map(lambda *x: jnp.concatenate(x), real, fake))
            (slopes,) = pull_both(jnp.ones_like(both))
            penalty = self.penalty.of_slopes(*jnp.split(slopes, 2))
            real_outputs, fake_outputs = jnp.split(both, 2)

            def pull_fake(towards):
                return jnp.split(pull_both(jnp.concatenate([jnp.zeros_like(towards), towards]))[0], 2)[1]

            if self.penalty_stride == 1:
                return real_outputs, fake_outputs, pull_fake, penalty
            other_outputs, pull_other = pullable(other_fake)

            def pull_frames(towards):
                towards, other = split(towards)
                return join_rows(pull_fake(towards), pull_other(other)[0])

            real_outputs = join_rows(real_outputs, outputs(other_real))
            return real_outputs, join_rows(fake_outputs, other_outputs), pull_frames, penalty

        fake_outputs, pull = pullable(fake)
        penalty = jnp.zeros(())
        if self.penalty is not None:
            first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(real[0])
            places, _ = split(first + jnp.arange(len(real[0])))
            (part_real, _), (part_fake, _) = split(real), split(fake)

            def part_logits(frames):
                # One side's rows, or those of both.
                copies = len(frames) // len(places)
                times, dropout = (
                    jnp.tile(part_real[1], (copies, 1)),
                    jnp.concatenate([part_real[2], part_fake[2]]),
                )
                return outputs((frames, times, dropout[: len(frames)]))

            penalty = lazy(
                lambda: self.penalty(part_logits, part_real[0], part_fake[0], key, places),
                step,
                self.penalty_every,
            )
        return outputs(real), fake_outputs, lambda towards: pull(towards)[0], penalty

    def train_step(
        self, state: GANState, batch: Batch, key: Key, axis_name: str | None = None
    ) -> tuple[GANState, Metrics]:
        g_gradient, d_gradient, metrics, read = self.gradients(state, batch, key, axis_name)
        g_update, g_opt = self.generator_optimizer.update(g_gradient, state.generator_opt, state.generator)
        d_update, d_opt = self.discriminator_optimizer.update(
            d_gradient, state.discriminator_opt, state.discriminator
        )
        if self.judge_from:  # what it averages, and its schedules, begin with the first gradient
            waits = state.step < self.judge_from
            d_opt = jax.tree.map(lambda new, old: jnp.where(waits, old, new), d_opt, state.discriminator_opt)
        generator = optax.apply_updates(state.generator, g_update)
        if self.codes:
            codes = self.codes.remember(state.codes, *read)
            known = jnp.minimum((state.step + 1) * len(read[1]), self.codes.memory)
            codes, generator, losses = self.codes.play(codes, generator, known, jax.random.fold_in(key, 7))
            state, metrics = state.replace(codes=codes), metrics | summed(losses, axis_name)
        if self.shown.adaptive and not self.frozen:
            total, count = metrics["augment_sign"]  # summed over the devices, of which each counts one
            devices = 1 if axis_name is None else jax.lax.psum(1, axis_name)
            clips = devices * len(batch["video"])
            state = state.replace(strength=self.shown.moved(state.strength, total / count, state.step, clips))
        state = state.replace(
            step=state.step + 1,
            generator=generator,
            generator_ema=ema(state.generator_ema, generator, state.step, self.ema_decay),
            discriminator=optax.apply_updates(state.discriminator, d_update),
            generator_opt=g_opt,
            discriminator_opt=d_opt,
        )
        return state, metrics

    def evaluate(self, state: GANState, batches: Iterable[Batch], key: Key) -> dict[str, float]:
        """How far as many samples of the averaged generator are from held-out clips, in every figure.

        Real clips are looked at once a process: they are the same at every call. Of fewer clips than an
        evaluation needs it only says how few they are: a small data set can be trained on all the same.
        """
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
        if done < FEWEST:
            return {"clips": float(done)}
        result = assess(*(together(x) for x in (real, fake)), None, together(shuffled) if shuffled else None)
        figures = result["distances"] | result["checks"] | {"clips": float(done)}
        if judged:
            seen = [physics.together(list(part)) for part in zip(*judged, strict=True)]
            figures |= physics.checks(*seen)
            if asked:
                figures |= physics.agreement(seen[0], physics.together(asked))
        for anchor, values in result["anchors"].items():
            figures |= {
                f"{anchor}/{name}": v
                for name, v in values.items()
                if name.startswith(("frechet/", "kernel/"))
            }
        return figures

    def protocol(self) -> dict[str, Any]:
        """The networks that figures are of, their weights' hashes among it."""
        return {"networks": self.networks}

    def show(self, state: GANState, batch: Batch, key: Key) -> dict[str, Media]:
        """Samples of the averaged generator, the same noise at every call with one key, beside real clips.

        And these painted from the codes read off them, where there is an encoder.
        """
        times = np.asarray(batch["times"])
        n = min(16, len(times))
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        samples = np.asarray(self.generate(state.generator_ema, keys, jnp.asarray(times[:n])))
        fps = 1.0 / float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
        media = {"samples": Media(samples, fps)}
        if int(state.step) == 0:
            media["real"] = Media(np.asarray(batch["video"])[:n], fps)
        given = {name: jnp.asarray(x)[:n] for name, x in self.given(batch).items()}
        if given:
            asked = self.asked_alike(state.generator_ema, keys, jnp.asarray(times[:n]), given)
            media["asked"] = Media(np.asarray(asked), fps)  # for what the real clips are
        if self.codes:
            video = jnp.asarray(batch["video"])[:n]
            repainted = self.repaint(state.generator_ema, video, jnp.asarray(times[:n]))
            media["repainted"] = Media(np.asarray(repainted), fps)
        return media
