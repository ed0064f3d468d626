"""Networks that make frames.

A generator has `noise(keys [B], times [B K]) -> noise`, the clip's randomness as a function of its key and of
time, and `__call__(noise, times [B K] seconds) -> frames [B K H W C]`, nominally in [-1, 1]. One
with `categories` > 0 has int32 [B] `noise.category` below it, which the discriminator is to guess.
"""

from vgm_jax.models.generators.continuous import ContinuousGenerator
from vgm_jax.models.generators.mlp import MLPGenerator

GENERATORS = {"continuous": ContinuousGenerator, "mlp": MLPGenerator}
