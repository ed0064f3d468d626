"""Networks whose weights come from elsewhere, or were trained once and are shipped, as features to measure in.

To add one: a file here with a function `load() -> FeatureNetwork`, and a line below. They are imported when asked
for, so that a run pays for none that it does not use.
"""

import importlib

from vgm_jax.models.pretrained.network import FeatureNetwork

# name -> module of this package whose `load` gives it, and after a colon what `load` is to be told
NETWORKS = {
    "random": "random",
    "transnet": "transnet",
    "efficientnet": "efficientnet",
    "arrow-shapeshow": "arrow:shapeshow",
    "arrow-coinrun": "arrow:coinrun",
}


def load_network(name: str) -> FeatureNetwork:
    """The named network with its weights. Raises ValueError, listing the names, for an unknown one."""
    if name not in NETWORKS:
        raise ValueError(f"evaluate.features: {name!r} is unknown; choose one of {', '.join(NETWORKS)}")
    module, *variant = NETWORKS[name].split(":")
    return importlib.import_module(f"{__package__}.{module}").load(*variant)
