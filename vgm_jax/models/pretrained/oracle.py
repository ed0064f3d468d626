"""ShapeShow's oracle: shape, colour, place and motion of what a clip shows, or that it shows none of them.

Trained by configs/shapeshow_oracle.py; what it gets right is in experiments/shapeshow_oracle.
"""

import functools

import jax.numpy as jnp

from vgm_jax.models.classifiers import ClipClassifier, Judgement
from vgm_jax.models.pretrained.network import FeatureNetwork, shipped_weights
from vgm_jax.types import Array, Params

# 7 shapes and 8 colours, frame by frame, 12 motions, and "none" as the last class of each.
MODULE = ClipClassifier(classes=(8, 9, 13), frame_heads=2, track=True)
SCALE = 0.1  # features then spread by about one over real clips, as the kernel distance's cubes want them


@functools.cache
def weights() -> tuple[Params, str]:
    """The shipped weights and the SHA-256 of their file."""
    return shipped_weights("oracle.safetensors")


def judgement(params: Params, frames: Array, times: Array) -> Judgement:
    """All that it says: frames [B T H W 3] in [-1, 1], times [B T] seconds -> Judgement.

    Logits are of shape [B T 8], colour [B T 9] and motion [B 13]; it learned from clips of a second.
    """
    return MODULE.apply(params, frames, times)


def embed(params: Params, frames: Array) -> Array:
    """[B T H W 3] in [-1, 1] -> float32 [B 1 224]: the object from near, on average, and its motion."""
    times = jnp.broadcast_to(jnp.arange(frames.shape[1]) / frames.shape[1], frames.shape[:2])
    return SCALE * judgement(params, frames, times).features[:, None, MODULE.frame_features :]


def load() -> FeatureNetwork:
    """The network, with its trained weights."""
    params, digest = weights()
    settings = {
        "resize": f"{MODULE.side} x {MODULE.side}, linear, antialiased",
        "frames": f"all; {MODULE.moments}, evenly spread, for the motion",
        "layer": "inputs of the heads: of the window around the object, of the motion",
        "scale": SCALE,
    }
    return FeatureNetwork("oracle", embed, params, digest, 1, settings)
