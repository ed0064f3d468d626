"""Fixed random convolutions: a quick yardstick, not a published one."""

import hashlib

import jax
import jax.numpy as jnp

from vgm_jax.models.pretrained.network import FeatureNetwork
from vgm_jax.types import Array, Params

WIDTHS = (24, 32, 48)
SEED = 20260101


def embed(params: Params, frames: Array) -> Array:
    """[B T H W 3] in [-1, 1] -> float32 [B 1 96].

    Three strided 3x3 layers on pairs of neighbouring frames and their difference, then the mean and the
    spread over space and time. It sees colour, edges and movement, but no objects; use it to follow a run.
    """
    later = frames[:, 1:] if frames.shape[1] > 1 else frames
    earlier = frames[:, :-1] if frames.shape[1] > 1 else frames
    b, t = later.shape[:2]
    x = jnp.concatenate([later, 4.0 * (later - earlier)], -1).reshape(b * t, *frames.shape[2:4], -1)
    for kernel in params:
        x = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.leaky_relu(x, 0.2)
    x = x.reshape(b, 1, -1, WIDTHS[-1])
    return jnp.concatenate([x.mean(2), x.std(2)], -1)


def load() -> FeatureNetwork:
    """The network, its weights drawn from a fixed seed."""
    root, params, channels = jax.random.key(SEED, impl="threefry2x32"), [], 6
    for i, width in enumerate(WIDTHS):
        kernel = jax.random.normal(jax.random.fold_in(root, i), (3, 3, channels, width))
        params.append(kernel * (2.0 / (9 * channels)) ** 0.5)
        channels = width
    weights = hashlib.sha256(f"random {SEED} {WIDTHS}".encode()).hexdigest()
    settings = {
        "resize": "none",
        "frames": "all, in neighbouring pairs",
        "layer": "mean and spread of the third",
    }
    return FeatureNetwork("random", embed, params, weights, 1, settings)
