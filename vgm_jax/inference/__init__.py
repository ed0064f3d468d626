"""Using what was trained: `load` gives a model that samples and streams."""

from vgm_jax.inference.generator import GeneratorModel, load

__all__ = ["GeneratorModel", "load"]
