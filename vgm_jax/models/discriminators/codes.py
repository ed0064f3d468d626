"""Tells codes that were read off clips from imagined ones."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from vgm_jax.models.layers import MLP, Dense, unit_variance
from vgm_jax.models.scene import Codes

MOVED = "moved"  # the part of a description that is about motion
MOMENT = 0.05  # seconds added to the time between two frames, so that velocities stay bounded


def describe(codes: Codes, times: jax.Array) -> dict[str, jax.Array]:
    """What codes of B clips at times [B K] seconds, ascending, say: float32 [B N] each.

    "form": what the objects are, where there are any; "shown": that and the ground; "moved": how that moves,
    with velocities beside places. A critic of the first sees kinds of things, which it else finds last, among
    all that grounds differ by.
    """
    elapsed = jnp.diff(times, axis=1)
    velocity = jnp.diff(codes.motion, axis=1) / (elapsed + MOMENT)[..., None]

    def flat(*parts):
        return jnp.concatenate([part.reshape(len(part), -1) for part in parts], -1)

    shown = flat(codes.content, codes.form)
    parts = {"shown": shown, MOVED: flat(shown, 2.0 * codes.motion, velocity, 4.0 * times)}
    return {"form": flat(codes.form)} | parts if codes.form.size else parts


def askable(described: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """What `describe` says, each thing once: what is shown, and how whatever it is moves."""
    shown = described["shown"]
    return {"shown": shown, MOVED: described[MOVED][:, shown.shape[-1] :]}


def motion_of(moved: jax.Array, shown: int, count: int) -> jax.Array:
    """Twice the motion codes [B K M] at `count` moments, of what `describe` calls `MOVED` [B N].

    shown: how many of its numbers are of what is shown.
    """
    moved = moved[:, shown:]
    each = (moved.shape[-1] - count) // (2 * count - 1)  # places, velocities in between, and times
    return moved[:, : count * each].reshape(len(moved), count, each)


class CodeDiscriminator(nn.Module):
    """Logit of one of the parts that `describe` gives; also of how well it is what was asked for.

    By what both are together, and by a projection (arXiv 1802.05637, eq. 3). What is heard at each moment is
    held against how things are then, by layers that all moments share.
    """

    widths: Sequence[int] = (256, 256, 256)
    moment_widths: Sequence[int] = (64, 16)

    @nn.compact
    def __call__(
        self, described: jax.Array, asked: jax.Array | None = None, moments: jax.Array | None = None
    ) -> jax.Array:
        """described [B N], asked [B D], moments [B K E] -> logits [B]."""
        if asked is None:
            return MLP((*self.widths, 1), final_linear=True, name="layers")(described)[:, 0]
        both = [described, asked]
        if moments is not None:
            each = MLP(self.moment_widths, name="moments")(moments)
            both.append(each.reshape(len(each), -1))
        hidden = MLP(self.widths, name="layers")(jnp.concatenate(both, -1))
        towards = Dense(self.widths[-1], name="projection")(asked)
        agreement = jnp.sum(towards * hidden, -1) * self.widths[-1] ** -0.5
        return Dense(1, name="logit")(hidden)[:, 0] + agreement


class Agreement(nn.Module):
    """How well each of B descriptions is what each of B clips was asked for.

    Cosines of two embeddings, over a learnt temperature (CLIP, arXiv 2103.00020, sec. 2.3).
    """

    width: int = 256
    dim: int = 128

    @nn.compact
    def __call__(self, described: jax.Array, asked: jax.Array) -> jax.Array:
        """described [B N], asked [B D] -> [B B], a row a description."""
        seen = unit_variance(MLP((self.width, self.dim), final_linear=True, name="seen")(described))
        said = unit_variance(MLP((self.width, self.dim), final_linear=True, name="said")(asked))
        sharpness = self.param("sharpness", nn.initializers.constant(2.0), ())
        return jnp.exp(jnp.minimum(sharpness, 4.6)) * (seen @ said.T) / self.dim
