"""`own_videos` on animated emoji: one thing of many colours before white.

python experiments/datasets/run.py emoji --out DIR
python -m vgm_jax.main --config configs/emoji.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64, on 3,193 clips."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]()
    config.data.source = "tfds"
    config.objective.codes_memory = 3200
    return config.lock()
