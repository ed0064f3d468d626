"""Codes read off clips: painted back, and held against imagined ones."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from vgm_jax.models.discriminators.codes import describe
from vgm_jax.models.scene import Codes
from vgm_jax.objectives import Objective, zero_centered
from vgm_jax.objectives.adversarial import Loss
from vgm_jax.types import Array, Key, Metrics, Params

SMOOTH = 0.03  # difference in pixel value under which the reconstruction's loss is quadratic
MOTION_NOISE = 0.03  # added to motion before it is judged, whose values are within one
Described = tuple[Array, Array]  # of `describe`
PARTS = "shown", "moved"  # a critic each: of what clips show, and of how that moves
ENCODER, CRITIC = "encoder", "codes"  # collections beside the generator's and the discriminator's "params"


def _normal(keys: Array, i: int, like: Array) -> Array:
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), like.shape[1:]))(keys)


class CodeGame:
    """What teaches a generator beside a discriminator of frames.

    An encoder reads codes off clips, and the generator paints them back: so each clip says what it should
    have been, and no kind of clip is forgotten (VAE/GAN, arXiv 1512.09300). A discriminator of codes holds
    imagined codes against those that were read (adversarial autoencoder, arXiv 1511.05644, turned round: the
    imagination learns, as in ALAE, arXiv 2004.04467); it needs no pictures, and is cheap.

    Args:
      generator: with `imagine`, `paint` (`models.generators.ContinuousGenerator`).
      encoder: frames and times -> Codes.
      critic: described codes [B N] -> logits [B].
      reconstruction_weight: of the mean of a smooth absolute difference of pixels in [-1, 1].
      weight: of the game of codes, for the imagination.
      penalty_weight: gamma of R1 + R2 on codes.
      noise: standard deviation added to content and form, of a mean square of one, before they are painted:
        codes next to each other then mean much the same. Twice as much before they are judged: those read
        lie on a thin sheet, and what lies on it is else told from what lies beside it.
    """

    def __init__(
        self,
        generator: Any,
        encoder: Any,
        critic: Any,
        objective: Objective,
        *,
        reconstruction_weight: float,
        weight: float,
        penalty_weight: float,
        noise: float,
    ):
        self.generator, self.encoder, self.critic, self.objective = generator, encoder, critic, objective
        self.reconstruction_weight, self.weight = reconstruction_weight, weight
        self.penalty_weight, self.noise = penalty_weight, noise

    def init(self, key: Key, frames: Array, times: Array) -> tuple[Params, Params]:
        """Parameters of the encoder and of the critics."""
        codes, encoder = self.encoder.init_with_output(key, frames, times)
        keys = jax.random.split(jax.random.fold_in(key, 1), len(PARTS))
        parts = zip(PARTS, keys, describe(codes, times), strict=True)
        return encoder["params"], {part: self.critic.init(k, x)["params"] for part, k, x in parts}

    def read(self, generator: Params, frames: Array, times: Array) -> Codes:
        """The codes of clips [B K H W C] in [-1, 1] at times [B K]."""
        return self.encoder.apply({"params": generator[ENCODER]}, frames, times)

    def imagine(self, generator: Params, noise: Any, times: Array) -> Codes:
        """Codes of noise."""
        return self.generator.apply(generator, noise, times, method="imagine")

    def move(self, generator: Params, codes: Codes, noise: Any, times: Array) -> Codes:
        """What codes show, moving by the noise."""
        args = codes.content, codes.form, noise, times
        return self.generator.apply(generator, *args, method="move")

    def paint(self, generator: Params, codes: Codes) -> Array:
        """Frames of codes."""
        return self.generator.apply(generator, codes, method="paint")

    def blur(self, codes: Codes, keys: Array, noise: float) -> Codes:
        """What codes show, with noise of each clip's key."""
        content = codes.content + noise * _normal(keys, 0, codes.content)
        return codes._replace(content=content, form=codes.form + noise * _normal(keys, 1, codes.form))

    def shake(self, motion: Array, keys: Array) -> Array:
        """How codes move, with noise of each clip's key."""
        return motion + MOTION_NOISE * _normal(keys, 2, motion)

    def gradients(
        self, generator: Params, discriminator: Params, frames: Array, times: Array, noise: Any, keys: Array
    ) -> tuple[Params, Params, Metrics]:
        """Gradients of `generator` and `discriminator` in whole, and the losses.

        frames [B K H W C] in [-1, 1], times [B K], noise of B clips, keys [B].
        """
        side = [jax.vmap(lambda k, i=i: jax.random.fold_in(k, i))(keys) for i in range(3)]

        def logits(discriminator: Params, part: int, described: Array) -> Array:
            return self.critic.apply({"params": discriminator[CRITIC][PARTS[part]]}, described)

        def losses(loss: Loss, discriminator: Params, real: Described, fake: Described) -> list[Array]:
            return [loss(*(logits(discriminator, i, x[i]) for x in (real, fake))) for i in range(len(PARTS))]

        def g_loss(generator):
            read = self.read(generator, frames, times)
            near = self.blur(read, side[0], self.noise)
            missed = self.paint(generator, near) - frames
            missed = jnp.mean(jnp.sqrt(jnp.square(missed) + SMOOTH**2))
            # What is read is the truth here: it does not move towards what is imagined.
            near, read = jax.lax.stop_gradient((near, read))
            imagined = self.imagine(generator, noise, times)
            moved = self.move(generator, near, noise, times)
            # Both move what was read, so that the second critic sees nothing but the motion.
            shown = [self.blur(x, k, 2 * self.noise) for x, k in ((read, side[1]), (imagined, side[2]))]
            motion = [self.shake(x.motion, k) for x, k in ((read, side[1]), (moved, side[2]))]
            real, fake = (
                (describe(x, times)[0], describe(near._replace(motion=m), times)[1])
                for x, m in zip(shown, motion, strict=True)
            )
            lost = losses(self.objective.g_loss, discriminator, real, fake)
            total = self.reconstruction_weight * missed + self.weight * sum(lost)
            return total, (missed, lost, real, fake)

        g_gradient, (missed, g_losses, real, fake) = jax.grad(g_loss, has_aux=True)(generator)

        def d_loss(discriminator):
            lost = losses(self.objective.d_loss, discriminator, real, fake)
            penalty = sum(
                zero_centered(functools.partial(logits, discriminator, i), x[i])
                for i in range(len(PARTS))
                for x in (real, fake)
            )
            return sum(lost) + self.penalty_weight * penalty, (lost, penalty)

        d_gradient, (d_losses, penalty) = jax.grad(d_loss, has_aux=True)(discriminator)
        metrics = {"reconstruction": missed, "codes_penalty": penalty}
        for part, g, d in zip(PARTS, g_losses, d_losses, strict=True):
            metrics |= {f"{part}_g_loss": g, f"{part}_d_loss": d}
        return g_gradient, d_gradient, metrics
