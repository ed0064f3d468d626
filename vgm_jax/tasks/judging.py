"""What a discriminator says of real and of generated frames, and the penalty on its slope there."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.objectives import Objective, Shown, ZeroCentered, lazy, margin
from vgm_jax.tasks.rows import join_rows, numbers, split_rows
from vgm_jax.training.optimizers import Schedule
from vgm_jax.types import Array, Key, Params

# frames [B K H W C], times [B K], dropout keys [B], and whatever more the discriminator is told
Rows = tuple[Array, ...]


class Judge:
    """A discriminator and its penalty, with each clip passed through it once.

    Args:
      discriminator: rows -> logits [B].
      penalty: of `objectives.make_penalty`, or None.
      every: updates between two penalties, which weigh as much more.
      stride: every n-th clip is penalised.
    """

    def __init__(self, discriminator: Any, penalty: Any, every: int = 1, stride: int = 1):
        self.discriminator, self.penalty, self.every, self.stride = discriminator, penalty, every, stride

    def __call__(
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

        split = functools.partial(split_rows, n=self.stride, name="objective.penalty_stride")
        if isinstance(self.penalty, ZeroCentered) and self.every == 1:
            # The penalised clips' outputs come from the pass that the penalty needs anyway.
            (real, other_real), (fake, other_fake) = split(real), split(fake)
            both, pull_both = pullable(jax.tree.map(lambda *x: jnp.concatenate(x), real, fake))
            (slopes,) = pull_both(jnp.ones_like(both))
            penalty = self.penalty.of_slopes(*jnp.split(slopes, 2))
            real_outputs, fake_outputs = jnp.split(both, 2)

            def pull_fake(towards):
                return jnp.split(pull_both(jnp.concatenate([jnp.zeros_like(towards), towards]))[0], 2)[1]

            if self.stride == 1:
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
            places, _ = split(numbers(len(real[0]), axis_name))
            (part_real, _), (part_fake, _) = split(real), split(fake)

            told = jax.tree.map(lambda *x: jnp.concatenate(x), part_real[1:], part_fake[1:])

            def part_logits(frames):
                # One side's rows, or those of both.
                return outputs((frames, *(x[: len(frames)] for x in told)))

            penalty = lazy(
                lambda: self.penalty(part_logits, part_real[0], part_fake[0], key, places),
                step,
                self.every,
            )
        return outputs(real), fake_outputs, lambda towards: pull(towards)[0], penalty

    def game(
        self,
        objective: Objective,
        params: Params,
        real: Rows,
        fake: Rows,
        weight: Array,
        step: Array,
        key: Key,
        axis_name: str | None,
    ) -> tuple[Params, Array, dict[str, Array], tuple[Array, Array]]:
        """A round of the game, one pass forward: what both players' losses are, and where they go down.

        `weight`: of the penalty. Returns the discriminator's gradient; that of the generator's loss at the
        fake frames; figures; logits [B] on real and fake.
        """

        def d_loss(params: Params):
            real_logits, fake_logits, pull_frames, penalty = self(params, real, fake, step, key, axis_name)
            loss = objective.d_loss(real_logits, fake_logits)
            g_loss, towards = jax.value_and_grad(lambda fake: objective.g_loss(real_logits, fake))(
                fake_logits
            )
            figures = {"d_loss": loss, "g_loss": g_loss}
            if self.penalty is not None:
                figures["penalty"] = penalty
            figures["real_logit"] = jnp.mean(real_logits)
            figures["fake_logit"] = jnp.mean(fake_logits)
            return loss + weight * penalty, (pull_frames(towards), figures, (real_logits, fake_logits))

        gradient, (g_frames, figures, logits) = jax.grad(d_loss, has_aux=True)(params)
        return gradient, g_frames, figures, logits


class FrameGame:
    """What a discriminator learns of real and of painted clips, and whereto it pulls these.

    Where it is shown changed frames, changing painted ones is part of the generator's pass, which learns
    through it. Penalties are of the discriminator's slope at what it is shown, changed real frames (R1) and
    changed painted ones (R2): the game is between their distributions.

    Args:
      judge: the discriminator, with its penalty.
      shown: how frames are changed before it sees them.
      penalty_weight: of a step.
    """

    def __init__(self, judge: Judge, objective: Objective, shown: Shown, penalty_weight: Schedule):
        self.judge, self.objective, self.shown = judge, objective, shown
        self.penalty_weight = penalty_weight

    def __call__(
        self,
        params: Params,
        rows: tuple[Array, Array, Array, Array],
        painted: Array,
        strength: Any,
        step: Array,
        key: Key,
        axis_name: str | None,
    ) -> tuple[Array, Params, dict[str, Array]]:
        """The gradient of the generator's loss by painted frames, the discriminator's gradient, the losses.

        Args:
          rows: real frames [B K H W C] in [-1, 1], times [B K], keys [B] of what is shown and of dropout.
          painted: frames [B K H W C].
          strength: of adaptive changes.
          key: of the penalty.
        """
        clips, times, shown_keys, dropout = rows

        def show(frames: Array, side: int) -> Array:
            side_keys = jax.vmap(lambda k: jax.random.fold_in(k, side))(shown_keys)
            return self.shown(frames, side_keys, strength if self.shown.adaptive else None)

        frames, pull_painted = jax.vjp(lambda x: show(x, 1), painted)
        # A row: frames, their times, and the key of its dropout.
        real = show(clips, 0), times, dropout
        fake = frames, times, jax.vmap(lambda k: jax.random.fold_in(k, 1))(dropout)

        d_gradient, towards, metrics, logits = self.judge.game(
            self.objective, params, real, fake, self.penalty_weight(step), step, key, axis_name
        )
        if self.shown.adaptive:
            metrics["augment_sign"] = jnp.mean(jnp.sign(margin(self.objective, *logits)))
            metrics["augment_p"] = strength.p
        return pull_painted(towards.astype(frames.dtype))[0], d_gradient, metrics
