"""Clips -> rows of features, by the named network."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from vgm_jax.data.transforms import to_float
from vgm_jax.models.pretrained import FeatureNetwork, load_network

BATCH = 16  # clips that a network sees at once, by default


@functools.cache
def _compiled(name: str) -> tuple[FeatureNetwork, Callable]:
    network = load_network(name)

    @jax.jit
    def run(params, video):
        # Accelerators would round to bfloat16 or TF32, and features of two machines would differ.
        with jax.default_matmul_precision("float32"):
            return network.embed(params, to_float(video))

    return network, run


def network(name: str) -> FeatureNetwork:
    """The named network, loaded once a process. Raises ValueError, listing the names, for an unknown one."""
    return _compiled(name)[0]


def embed(name: str, video: np.ndarray) -> np.ndarray:
    """Clips uint8 [B T H W 3] -> float32 [B R F], all in one batch: R rows a clip.

    Raises ValueError for an unknown network, another dtype or shape, and clips shorter than it needs.
    """
    net, run = _compiled(name)
    if video.dtype != np.uint8 or video.ndim != 5 or video.shape[-1] != 3:
        raise ValueError(f"expected clips uint8 [B T H W 3], got {video.dtype} {video.shape}")
    if video.shape[1] < net.min_frames:
        raise ValueError(f"{name} needs clips of {net.min_frames} frames or more, got {video.shape[1]}")
    return np.asarray(run(net.params, video))
