"""`own_videos` on animated emoji: one thing of many colours before white.

python experiments/datasets/run.py emoji --out DIR
python -m vgm_jax.main --config configs/emoji.py --config.data.path=DIR
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The recipe for 64 x 64: one object, which may also change as it moves, on a still ground."""
    path = Path(__file__).with_name("own_videos.py")
    config = runpy.run_path(str(path))["get_config"]().unlock()
    config.data.source = "tfds"
    config.model.generator.update({"objects": 1, "camera": 0.0, "content_dim": 128})
    config.model.encoder.salient = True
    return config.lock()
