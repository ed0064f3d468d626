"""Networks that make frames.

A generator has `noise(keys [B], times [B K]) -> noise`, the clip's randomness as a function of its key and of
time, and `__call__(noise, times [B K] seconds) -> frames [B K H W C]`, nominally in [-1, 1]. Its
`categories` (N1, N2, ...) are the sizes of the draws in int32 `noise.category` [B len(categories)] that the
discriminator is to guess; () or zeros: none.
"""

from vgm_jax.models.generators.continuous import ContinuousGenerator
from vgm_jax.models.generators.mlp import MLPGenerator

GENERATORS = {"continuous": ContinuousGenerator, "mlp": MLPGenerator}
