"""Networks that learned to tell whether a clip runs backwards, one a data set: features that see motion.

Trained by configs/arrow_of_time.py; accuracies are in experiments/arrow_of_time. The pretext task is that of
"Learning and Using the Arrow of Time" (Wei et al., CVPR 2018).
"""

import jax.numpy as jnp

from vgm_jax.models.classifiers import MotionClassifier
from vgm_jax.models.pretrained.network import FeatureNetwork, shipped_weights
from vgm_jax.types import Array, Params

SIDES = {"shapeshow": 32, "coinrun": 64}  # pixels that frames are resized to


def load(variant: str) -> FeatureNetwork:
    """The network of a data set: "shapeshow" or "coinrun"."""
    module = MotionClassifier(classes=(2,), side=SIDES[variant])
    params, digest = shipped_weights(f"arrow_{variant}.safetensors")

    def embed(params: Params, frames: Array) -> Array:
        """[B T H W 3] in [-1, 1] -> float32 [B 1 192]: what the head sees."""
        times = jnp.zeros(frames.shape[:2])
        return module.apply(params, frames, times).features[:, None]

    settings = {
        "resize": f"{module.side} x {module.side}, linear, antialiased",
        "frames": f"{module.moments}, evenly spread, in windows of {module.window}",
        "layer": "input of the head",
    }
    return FeatureNetwork(f"arrow-{variant}", embed, params, digest, module.window, settings)
