"""Networks that judge clips.

A discriminator has `__call__(frames [B K H W C], times [B K] seconds, keys [B] or None) -> logits [B]`.
`keys` seed each clip's dropout; without them the network is deterministic.
"""

from vgm_jax.models.discriminators.clip import ClipDiscriminator
from vgm_jax.models.discriminators.mlp import MLPDiscriminator

DISCRIMINATORS = {"clip": ClipDiscriminator, "mlp": MLPDiscriminator}
