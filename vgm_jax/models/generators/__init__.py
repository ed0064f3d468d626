"""Networks that make frames.

A generator has `noise(keys [B], times [B K]) -> noise`, the clip's randomness as a function of its key and of
time, and `__call__(noise, times [B K] seconds) -> frames [B K H W C]`, nominally in [-1, 1]. Where
its `categories` are more than 0, int32 [B] `noise.category` is each clip's, for the discriminator to guess.
"""

from vgm_jax.models.generators.continuous import ContinuousGenerator
from vgm_jax.models.generators.mlp import MLPGenerator

GENERATORS = {"continuous": ContinuousGenerator, "mlp": MLPGenerator}
