"""Networks that turn what a clip holds, picture, sound and text, into vectors."""

from vgm_jax.models.encoders.audio import log_mel
from vgm_jax.models.encoders.scene import SceneEncoder
from vgm_jax.models.encoders.trunk import MODALITIES, Encoding, Trunk

__all__ = ["MODALITIES", "Encoding", "Trunk", "log_mel"]

# frames [B K H W C] in [-1, 1], times [B K] -> models.scene.Codes
SCENE_ENCODERS = {"scene": SceneEncoder}
