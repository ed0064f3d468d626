"""Networks that make frames.

A generator has `noise(keys [B], times [B K]) -> noise`, the clip's randomness as a function of its key and of
time, and `__call__(noise, times [B K] seconds) -> frames [B K H W C]`, nominally in [-1, 1]. One that can
learn from codes has `imagine(noise, times) -> Codes` and `paint(Codes) -> frames` too.

One of the second family makes a frame from those before, as `causal.CausalGenerator` does.
"""

from vgm_jax.models.generators.causal import CausalGenerator
from vgm_jax.models.generators.continuous import ContinuousGenerator
from vgm_jax.models.generators.mlp import MLPGenerator

GENERATORS = {"continuous": ContinuousGenerator, "mlp": MLPGenerator}
CAUSAL_GENERATORS = {"causal": CausalGenerator}
