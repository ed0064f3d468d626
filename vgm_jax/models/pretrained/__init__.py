"""Networks whose weights come from elsewhere, or were trained once and are shipped: features to measure in.

To add one: a file here with a function `load() -> FeatureNetwork`, and a line below; `load(path)` and a line
in `FROM_FILE` if its weights cannot be shipped. They are imported when asked for, so that a run pays for none
that it does not use.
"""

import importlib

from vgm_jax.models.pretrained.network import FeatureNetwork

# name -> module of this package whose `load` gives it, and after a colon what `load` is to be told
NETWORKS = {
    "random": "random",
    "transnet": "transnet",
    "efficientnet": "efficientnet",
    "i3d": "i3d",
    "oracle": "oracle",
    "arrow-shapeshow": "arrow:shapeshow",
    "arrow-coinrun": "arrow:coinrun",
}
# name -> files of published weights, of which the user has one
FROM_FILE = {"i3d": "rgb_imagenet.pt, i3d_torchscript.pt"}


def load_network(name: str) -> FeatureNetwork:
    """The named network with its weights; "name:path" for one whose weights are in a file of yours.

    Raises ValueError, listing the names, for an unknown one; for a path missing or not wanted; and for a
    file that does not hold the weights.
    """
    name, path = named(name)
    module, *variant = NETWORKS[name].split(":")
    load = importlib.import_module(f"{__package__}.{module}").load
    return load(path) if name in FROM_FILE else load(*variant)


def named(name: str) -> tuple[str, str]:
    """A network's name, and the path that its weights are to be read from, where they are not shipped.

    Raises ValueError, listing the names, for an unknown one, and for a path missing or not wanted.
    """
    name, colon, path = name.partition(":")
    if name not in NETWORKS:
        raise ValueError(
            f"feature network {name!r} (evaluate.features) is unknown; choose one of {', '.join(NETWORKS)}"
        )
    if name in FROM_FILE and not path:
        raise ValueError(
            f"evaluate.features: the weights of {name!r} are not shipped; name a file that holds them, as in "
            f'"{name}:/path/to/weights.pt" (published: {FROM_FILE[name]})'
        )
    if colon and name not in FROM_FILE:
        raise ValueError(f'evaluate.features: {name!r} has its weights and takes no file, got "{path}"')
    return name, path
