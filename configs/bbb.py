"""`own_videos` on Big Buck Bunny's shots: real footage, few clips, of which validation is the film's end.

python experiments/datasets/run.py bbb --out DIR
python -m vgm_jax.main --config configs/bbb.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64; mirrored clips are twice as many."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "tfds"
    config.data.fps = 24.0
    config.data.augment = ("flip",)
    return config.lock()
