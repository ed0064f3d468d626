"""What a discriminator says of real and of generated frames, and the penalty on its slope there."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.objectives import ZeroCentered, lazy
from vgm_jax.tasks.rows import join_rows, split_rows
from vgm_jax.types import Array, Key, Params

Rows = tuple[Array, Array, Array]  # frames [B K H W C], times [B K], dropout keys [B]


class Judge:
    """A discriminator and its penalty, with each clip passed through it once.

    Args:
      discriminator: frames, times and dropout keys -> logits [B].
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
                self.every,
            )
        return outputs(real), fake_outputs, lambda towards: pull(towards)[0], penalty
