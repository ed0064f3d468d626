"""`own_videos` on Moving MNIST: two white digits before black, 16 of the 20 frames.

python experiments/datasets/run.py moving_mnist --out DIR
python -m vgm_jax.main --config configs/moving_mnist.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64: two rigid objects on a plain ground, all black and white."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "tfds"
    # Of the ground there is nothing to tell, and nothing has colours; a code of motion is for a whole clip.
    look = {
        "objects": 2,
        "grey": True,
        "content_dim": 0,
        "back_base": 0,
        "window": 1.34,
        "categories": (),
    }
    config.model.generator = ConfigDict({"name": "continuous"} | look)
    config.model.encoder.salient = True
    config.model.encoder.widths = (32, 48, 96, 160)
    return config.lock()
