"""Networks that tell which moments of a film matter, from a vector of each; and what they learn against."""

from vgm_jax.models.summarizers.adversary import Critic, Reconstructor
from vgm_jax.models.summarizers.scorer import Scorer

__all__ = ["Critic", "Reconstructor", "Scorer"]
