"""Video generative models and video understanding in JAX."""

import time
from typing import Any

from vgm_jax.version import __version__

__all__ = ["__version__", "load"]

IMPORTED = time.time()  # when this process began to: what of the package is newer is not what it runs


def load(model: Any) -> Any:
    """The trained model of a workdir or of a zoo name; see `vgm_jax.inference.load`."""
    from vgm_jax.inference import load

    return load(model)
