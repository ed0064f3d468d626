"""What the discriminator is shown: real and generated clips, both changed at random, differentiably.

With few clips a discriminator learns them by heart. Where all it ever sees is changed, it cannot, and the
generator still learns the unchanged distribution as long as the change, as an operator on distributions, can
be undone (arXiv 2006.06676, sec. 3.1): then only equal distributions look equal when changed. What is used
here is of that kind up to p = 3/4, the chance of each change: adding a brightness and moving by some pixels
are convolutions over brightness and place, factors of contrast and saturation over their logarithms, and the
transform of such an operator, (1 - p) + p phi, has no zero there, phi being the transform of what is drawn
and nowhere under -1/4 (of places, where a side has 12 pixels or more); blanking a part only removes, so its
operator is triangular, with 1 - p or more on the diagonal, for any p < 1. At p = 1, as in DiffAugment (arXiv
2006.10738), nothing is seen as it is, and there is no such promise.

All changes are linear in the pixels (nothing is clipped), the same for all frames of a clip, and each clip's
come from its own key.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

BRIGHTNESS = 0.5  # added, up to; pixels are in [-1, 1]
SATURATION = (0.0, 2.0)  # factors
CONTRAST = (0.5, 1.5)
SHIFT = 1 / 8  # of a side
CUT = 1 / 2  # side of the square, of the frame's

DRAWS = 3  # uniform numbers in [0, 1) that a change is given

Change = Callable[[jax.Array, Sequence[jax.Array]], jax.Array]


def colour(frames: jax.Array, draws: Sequence[jax.Array]) -> jax.Array:
    """Other brightness, saturation (about each pixel's mean) and contrast (about the clip's mean)."""
    x = frames + BRIGHTNESS * (2.0 * draws[0] - 1.0)
    for draw, (low, high), axes in ((draws[1], SATURATION, (-1,)), (draws[2], CONTRAST, None)):
        mean = x.mean(axes, keepdims=True)
        x = mean + (low + (high - low) * draw) * (x - mean)
    return x


def translation(frames: jax.Array, draws: Sequence[jax.Array]) -> jax.Array:
    """Moved by whole pixels, up to `SHIFT` of a side; grey comes in."""
    most = [round(SHIFT * side) for side in frames.shape[1:3]]
    start = [_integer(draw, 2 * m + 1) for draw, m in zip(draws, most, strict=False)]
    padded = jnp.pad(frames, ((0, 0), *((m, m) for m in most), (0, 0)))
    return jax.lax.dynamic_slice(padded, (0, *start, 0), frames.shape)


def cutout(frames: jax.Array, draws: Sequence[jax.Array]) -> jax.Array:
    """A grey square anywhere that its centre is within the frame, so partly outside near an edge."""
    seen = []
    for draw, side in zip(draws, frames.shape[1:3], strict=False):
        cut = round(CUT * side)
        # An even square is centred between pixels, where there is one place more: no side is favoured.
        place = jnp.arange(side) - _integer(draw, side + 1 - cut % 2) + cut // 2
        seen.append((place >= 0) & (place < cut))
    return jnp.where((seen[0][:, None] & seen[1])[..., None], 0.0, frames)


def _integer(draw: jax.Array, count: int) -> jax.Array:
    """A number in [0, 1) -> 0..count-1, each as likely."""
    return jnp.minimum(jnp.floor(draw * count).astype(jnp.int32), count - 1)


CHANGES: dict[str, Change] = {"colour": colour, "translation": translation, "cutout": cutout}


class Strength(NamedTuple):
    """p, the chance of each change, and the sum of `sign`s since it last moved: float32 scalars."""

    p: jax.Array
    signs: jax.Array


@dataclasses.dataclass(frozen=True)
class Shown:
    """(frames float [B K H W C] in [-1, 1], keys [B], p) -> frames, changed.

    Attributes:
      names: of `CHANGES`, in their order; each is done to a clip with probability p, on its own.
      p: that chance, where it is fixed.
      target: above 0 the chance is adapted (arXiv 2006.06676, sec. 3.2): from 0 it goes up while r_t is above
        the target, else down; the paper's target is 0.6.
      images: clips in which p can go from 0 to 1.
      every: updates between two moves.

    r_t is E sign D(real) (eq. 1): 1 where the discriminator is sure of all its clips, 0 where it guesses.
    Objectives that know only differences of logits, the relativistic and Wasserstein's, have no zero; there
    it is E sign(D(real) - D(fake)) of the pairs that the loss sees: 1 where all pairs are told apart, 0 where
    none are (`adversarial.margin`). It needs no held-out clips, nor any look beyond a device's own.

    Raises ValueError for an unknown or repeated name, naming the key, and for numbers out of their range.
    """

    names: tuple[str, ...]
    p: float = 1.0
    target: float = 0.0
    images: int = 500_000
    every: int = 4

    def __post_init__(self):
        for name in self.names:
            if name not in CHANGES or self.names.count(name) > 1:
                raise ValueError(
                    f"objective.augment has {name!r}, which is unknown or there twice; choose from "
                    f"{', '.join(CHANGES)}"
                )
        if not (0.0 <= self.p <= 1.0 and 0.0 <= self.target < 1.0 and self.images > 0 and self.every > 0):
            raise ValueError(
                f"objective.augment_p={self.p} must be in 0..1, augment_target={self.target} in [0, 1), "
                f"augment_images={self.images} and augment_every={self.every} at least 1"
            )
        if self.adaptive and not self.names:
            raise ValueError(
                f"objective.augment_target={self.target} needs objective.augment: name what is to be adapted"
            )

    @property
    def adaptive(self) -> bool:
        return self.target > 0.0

    def init(self) -> Strength:
        """Before the first update: none."""
        return Strength(jnp.zeros(()), jnp.zeros(()))

    def __call__(self, frames: jax.Array, keys: jax.Array, strength: Strength | None = None) -> jax.Array:
        p = self.p if strength is None else strength.p

        def one(frames, key):
            # All numbers in one draw: XLA compiles each draw anew.
            draws = jax.random.uniform(key, (len(self.names), 1 + DRAWS))
            for name, (chance, *rest) in zip(self.names, draws, strict=True):
                frames = jnp.where(chance < p, CHANGES[name](frames, rest), frames)
            return frames

        return jax.vmap(one)(frames, keys) if self.names else frames

    def moved(self, strength: Strength, sign: jax.Array, step: jax.Array, batch_size: int) -> Strength:
        """The strength after update `step` (from 0) on a global batch, in which r_t was `sign`."""
        signs = strength.signs + sign
        change = self.every * batch_size / self.images
        p = jnp.clip(strength.p + change * jnp.sign(signs / self.every - self.target), 0.0, 1.0)
        due = (step + 1) % self.every == 0
        return Strength(jnp.where(due, p, strength.p), jnp.where(due, 0.0, signs))
