"""Networks whose weights come from elsewhere, or were trained once and are shipped, as features to measure in.

To add one: a file here with a function `load() -> FeatureNetwork`, and a line below. They are imported when asked
for, so that a run pays for none that it does not use.
"""

import importlib

from vgm_jax.models.pretrained.network import FeatureNetwork

# name -> module of this package whose `load` gives it
NETWORKS = {
    "random": "random",
    "transnet": "transnet",
    "efficientnet": "efficientnet",
}


def load_network(name: str) -> FeatureNetwork:
    """The named network with its weights. Raises ValueError, listing the names, for an unknown one."""
    if name not in NETWORKS:
        raise ValueError(f"evaluate.features: {name!r} is unknown; choose one of {', '.join(NETWORKS)}")
    return importlib.import_module(f"{__package__}.{NETWORKS[name]}").load()
